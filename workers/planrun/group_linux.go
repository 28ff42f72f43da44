package planrun

import "syscall"

// ownGroup gives a script a process group of its own, and the death of its parent.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
