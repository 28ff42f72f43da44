//go:build unix && !linux

package pgcluster

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attached is for a child that ends with us. This system has no way to tie its
// life to ours: what a killed process leaves behind is found by its pid file at
// the next start.
func attached(a *account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential(), Setpgid: true}
}

// detached is for a child that outlives us.
func detached(a *account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential(), Setsid: true}
}

// isPostmaster tells a living postmaster from a process that merely got its id.
func isPostmaster(pid int, _ string) bool {
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // answers at once
	return err == nil && strings.Contains(string(out), "postgres")
}

// children lists the processes a postmaster has started.
func children(pid int) []int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output() //nolint:noctx // answers at once
	if err != nil {
		return nil
	}
	var found []int
	for _, field := range strings.Fields(string(out)) {
		if child, err := strconv.Atoi(field); err == nil {
			found = append(found, child)
		}
	}
	return found
}
