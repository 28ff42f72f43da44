//go:build !linux

package disk

import "os"

func dataRanges(_ *os.File, off, n int64) ([]Extent, error) {
	return []Extent{{Offset: off, Length: n}}, nil
}

func punch(*os.File, int64, int64) (bool, error) { return false, nil }

func zeroRange(*os.File, int64, int64) (bool, error) { return false, nil }

func syncData(f *os.File) error { return f.Sync() }

func openDirect(string) *os.File { return nil }
