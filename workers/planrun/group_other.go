//go:build !linux

package planrun

import "syscall"

// ownGroup gives a script a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
