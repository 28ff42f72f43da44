package proof

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// Journal is what a guest remembers of its writes, in a file outside Farshore.
type Journal struct {
	Records []Record // by number, ascending and without gaps from 1
	begun   []int    // per record: how many lines stood before it was begun first
	acked   []int    // per record: how many lines stood before it was acknowledged; 0: never
}

// ReadJournal reads a guest's journal. A last line that is not whole is what a
// killed guest leaves, and is passed over.
func ReadJournal(path string) (*Journal, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return &Journal{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the guest's journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	j := &Journal{}
	lines := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return j, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the guest's journal: %w", err)
		}
		if err := j.add(line, n); err != nil {
			return nil, fmt.Errorf("line %d of the guest's journal: %w", n, err)
		}
	}
}

func (j *Journal) add(line string, n int) error {
	var (
		kind string
		r    Record
	)
	if _, err := fmt.Sscan(line, &kind, &r.Number, &r.Disk, &r.Offset, &r.Length); err != nil {
		return fmt.Errorf("read %q: %w", line, err)
	}
	i := int(r.Number) - 1
	switch {
	case kind == "w" && i == len(j.Records):
		j.Records = append(j.Records, r)
		j.begun = append(j.begun, n)
		j.acked = append(j.acked, 0)
	case i < 0 || i >= len(j.Records) || j.Records[i] != r:
		return fmt.Errorf("record %d does not follow from the lines before", r.Number)
	case kind == "a" && j.acked[i] == 0:
		j.acked[i] = n
	}
	return nil
}

// Acknowledged is the highest number up to which every record is acknowledged.
func (j *Journal) Acknowledged() int64 {
	for i, n := range j.acked {
		if n == 0 {
			return int64(i)
		}
	}
	return int64(len(j.acked))
}

// unacknowledged returns the records that were begun and never acknowledged: a
// guest that comes back writes them again first.
func (j *Journal) unacknowledged() []Record {
	var open []Record
	for i, n := range j.acked {
		if n == 0 {
			open = append(open, j.Records[i])
		}
	}
	return open
}
