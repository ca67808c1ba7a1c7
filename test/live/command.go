package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Result is what came of one command.
type Result struct {
	Args   []string
	Exit   int
	Stdout []byte
	Stderr string
}

// Run runs cpctl as a process of its own, with stdin, and waits for it.
func Run(home string, stdin []byte, args ...string) (*Result, error) {
	c := exec.Command(Self(), args...)
	c.Env = Environ(home)
	if stdin != nil {
		c.Stdin = bytes.NewReader(stdin)
	}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return &Result{args, c.ProcessState.ExitCode(), out.Bytes(), errs.String()}, nil
}

// Cpctl runs a command against a server; the exit code is the test's to judge.
func (c *Cluster) Cpctl(server string, stdin []byte, args ...string) *Result {
	c.t.Helper()
	r, err := Run(c.Dir, stdin, append(args, "-s", server, "--timeout", Patience.String())...)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// Must runs a command that has to succeed.
func (c *Cluster) Must(server string, args ...string) *Result {
	c.t.Helper()
	r := c.Cpctl(server, nil, args...)
	if r.Exit != 0 {
		c.t.Fatalf("cpctl %s: exit %d\n%s", strings.Join(args, " "), r.Exit, r.Stderr)
	}
	return r
}

// Decode reads the JSON that a command printed.
func Decode[T any](t testing.TB, r *Result) (v T) {
	t.Helper()
	if err := json.Unmarshal(r.Stdout, &v); err != nil {
		t.Fatalf("cpctl %s: exit %d, %v\n%s%s", strings.Join(r.Args, " "), r.Exit, err, r.Stdout, r.Stderr)
	}
	return v
}

// Written is what every write says of itself with -o json.
type Written struct {
	UID            string `json:"uid"`
	CreateRevision uint64 `json:"create_revision"`
	Revision       uint64 `json:"revision"`
	Index          uint64 `json:"index"`
	Replayed       bool   `json:"replayed"`
	Published      bool   `json:"published"`
	ClientSecret   string `json:"client_secret"`
}
