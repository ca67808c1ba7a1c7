package readme_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/reader"
)

// The readers of the README and of docs/files.md see files of one moment: a
// client never names a scope that is not there, although both change in one
// command and are two files.
func TestTheReaderSeesOneMoment(t *testing.T) {
	w := open(t)
	dir := filepath.Join(w.home, "work", "n")
	node := exec.Command(filepath.Join(w.home, "bin", "cpctl"), "node", "--data-dir", dir, "--listen", "127.0.0.1:0")
	node.Env = w.env
	start(t, node)
	if got, err := w.run("export CPCTL_DATA_DIR=" + dir + "; cpctl tenant create acme && " +
		"cpctl client create web -t acme --public --redirect-uri https://a.example/cb"); err != nil || len(got) != 3 {
		t.Fatalf("printed %q, %v", got, err)
	}
	const rounds = 8
	written := make(chan []string, 1)
	go func() {
		all := []string{}
		for range rounds {
			got, _ := w.run("cpctl scope create x -t acme && cpctl client update web -t acme --add scopes=x && " +
				"cpctl scope delete x -t acme --mode detach --yes") // judged by what it printed
			all = append(all, got...)
		}
		written <- all
	}()
	ours, err := reader.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var noticed atomic.Uint64 // revision of the client
	followed := make(chan error, 1)
	go func() {
		followed <- follow(ctx, ours, func(v *reader.View) error {
			c, err := v.Client("acme", "web")
			if err == nil {
				noticed.Store(c.Revision)
			}
			return err
		})
	}()
	const client, scope = "tenants/acme/clients/web.json", "tenants/acme/scopes/x.json"
	with, without := 0, 0
	var newest uint64
	var done []string
	for done == nil {
		select {
		case done = <-written:
		default:
		}
		if c, scopes, err := scopesOf(ours, "acme", "web"); err != nil || len(scopes) != len(c.Scopes) {
			t.Fatalf("%d scopes of %+v, %v", len(scopes), c, err)
		}
		files, settled, err := readTogether(dir, client, scope)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Scopes   []string
			Revision uint64
		}
		if err := json.Unmarshal(files[client], &c); err != nil {
			t.Fatalf("%s is not whole: %v", client, err)
		}
		if c.Revision < newest {
			t.Fatalf("the client stepped back from revision %d to %d", newest, c.Revision)
		}
		newest = c.Revision
		if !settled {
			continue
		}
		if slices.Contains(c.Scopes, "x") {
			with++
			if files[scope] == nil {
				t.Fatal("the client names a scope that is not there")
			}
		} else {
			without++
		}
	}
	if got := strings.Count(strings.Join(done, "\n"), "scope/acme/x deleted"); got != rounds {
		t.Errorf("%d rounds of %d were written:\n%s", got, rounds, strings.Join(done, "\n"))
	}
	for deadline := time.After(patience); noticed.Load() != newest; {
		select {
		case err := <-followed:
			t.Fatalf("follow ended: %v", err)
		case <-deadline:
			t.Fatalf("follow has seen revision %d, the files have %d", noticed.Load(), newest)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-followed; !errors.Is(err, context.Canceled) {
		t.Errorf("follow ended with %v", err)
	}
	if with == 0 || without == 0 {
		t.Errorf("read %d times with the scope and %d times without", with, without)
	}
}

func TestTheReaderTrustsOnlyWholeRecordsOfThisBoot(t *testing.T) {
	slot := func(sequence int, state, boot string) []byte {
		return line(fmt.Sprintf(`%d {"state":%q,"index":7,"boot_id":%q}`, sequence, state, boot))
	}
	damaged := slot(9, "done", bootID())
	damaged[20] ^= 1
	for _, c := range []struct {
		fact    string
		applied []byte
		settled bool
	}{
		{"done in the first slot", append(slot(5, "done", bootID()), slot(4, "intent", bootID())...), true},
		{"done in the second slot", append(slot(6, "intent", bootID()), slot(7, "done", bootID())...), true},
		{"files are being changed", append(slot(6, "intent", bootID()), slot(5, "done", bootID())...), false},
		{"the newer slot is torn", append(damaged, slot(8, "intent", bootID())...), false},
		{"files of another boot", append(slot(5, "done", "another"), slot(4, "intent", "another")...), false},
		{"nothing was written yet", bytes.Repeat([]byte(" "), 1024), false},
		{"no marker", nil, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			if c.applied != nil {
				if err := os.WriteFile(filepath.Join(dir, "data", ".applied"), c.applied, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, settled, err := readTogether(dir, "tenants/acme/tenant.json"); settled != c.settled || err != nil {
				t.Errorf("settled is %v, want %v; %v", settled, c.settled, err)
			}
		})
	}
}

// line is a slot of .applied as the node writes it.
func line(text string) []byte {
	text += strings.Repeat(" ", 502-len(text)) + "\n"
	return fmt.Appendf(nil, "%08x %s", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)), text)
}
