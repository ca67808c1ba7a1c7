package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// result is what came of one command.
type result struct {
	args   []string
	exit   int
	stdout []byte
	stderr string
}

// run runs cpctl as a process of its own, with stdin, and waits for it.
func run(home string, stdin []byte, args ...string) (*result, error) {
	c := exec.Command(self(), args...)
	c.Env = environ(home)
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
	return &result{args, c.ProcessState.ExitCode(), out.Bytes(), errs.String()}, nil
}

// cpctl runs a command against a server; the exit code is the test's to judge.
func (c *cluster) cpctl(server string, stdin []byte, args ...string) *result {
	c.t.Helper()
	r, err := run(c.dir, stdin, append(args, "-s", server, "--timeout", patience.String())...)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// must runs a command that has to succeed.
func (c *cluster) must(server string, args ...string) *result {
	c.t.Helper()
	r := c.cpctl(server, nil, args...)
	if r.exit != 0 {
		c.t.Fatalf("cpctl %s: exit %d\n%s", strings.Join(args, " "), r.exit, r.stderr)
	}
	return r
}

// decode reads the JSON that a command printed.
func decode[T any](t *testing.T, r *result) (v T) {
	t.Helper()
	if err := json.Unmarshal(r.stdout, &v); err != nil {
		t.Fatalf("cpctl %s: exit %d, %v\n%s%s", strings.Join(r.args, " "), r.exit, err, r.stdout, r.stderr)
	}
	return v
}

// written is what every write says of itself with -o json.
type written struct {
	UID            string `json:"uid"`
	CreateRevision uint64 `json:"create_revision"`
	Revision       uint64 `json:"revision"`
	Index          uint64 `json:"index"`
	Replayed       bool   `json:"replayed"`
	Published      bool   `json:"published"`
	ClientSecret   string `json:"client_secret"`
}
