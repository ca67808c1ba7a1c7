package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// machine says what the figures depend on besides the programs.
func machine(dir string) (string, error) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	fs, err := fileSystem(dir)
	return fmt.Sprintf("%d CPUs, %s, Linux %s, %s", runtime.NumCPU(), fs, strings.TrimSpace(string(kernel)), runtime.Version()), err
}

// fileSystem is the type of that which dir is on: of the mount points above it the
// longest, and of those that are equal the one that came last.
func fileSystem(dir string) (kind string, err error) {
	dir, err = filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	longest := 0
	for l := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(l, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) == 0 {
			continue
		}
		at := left[4]
		if (at == "/" || dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			longest, kind = len(at), right[0]
		}
	}
	if kind == "" {
		return "", fmt.Errorf("no mount point of %s is known", dir)
	}
	return kind, nil
}

// version is what the binary says of itself, with the commit if it knows it.
func (c *cpctl) version() (string, error) {
	out, err := exec.Command(c.Binary, "version", "-o", "json").Output()
	if err != nil {
		return "", err
	}
	var v struct{ Version, Commit string }
	if err := json.Unmarshal(out, &v); err != nil {
		return "", err
	}
	if v.Commit != "" && !strings.Contains(v.Version, v.Commit[:12]) {
		v.Version += " of " + v.Commit[:12]
	}
	return "cpctl " + v.Version, nil
}
