//go:build !linux

package directory

import "os"

func dropCache(*os.File) {}
