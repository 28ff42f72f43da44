package directory

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache asks the system to forget a file's content, so that the next read
// comes from the medium. It is advice: nothing depends on it.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
