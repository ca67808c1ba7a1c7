package mutation

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden entries that are missing; those that are there stay")

// TestEntriesOfEveryVersionDecodeForEver reads one entry of every kind and
// version that was ever released: testdata/v<version>/<name>.entry is what
// stood in a log, <name>.json what it says. Files are added and never changed.
func TestEntriesOfEveryVersionDecodeForEver(t *testing.T) {
	if *update {
		addMissing(t)
	}
	files, err := filepath.Glob("testdata/v*/*.entry")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden entries: %v", err)
	}
	for _, file := range files {
		entry, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".entry") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		commands, err := DecodeEntry(entry)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got := readable(t, commands); got != string(want) {
			t.Errorf("%s decodes to\n%s\nwant\n%s", file, got, want)
		}
		if entry[0] == entryVersion && !bytes.Equal(encode(commands), entry) {
			t.Errorf("%s: encoded again it is %x, want %x", file, encode(commands), entry)
		}
	}
}

// TestEveryKindHasItsGoldenEntry fails when a kind, or a version, was added
// without one.
func TestEveryKindHasItsGoldenEntry(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(samples(t))) {
		if _, err := os.Stat(golden(name)); err != nil {
			t.Errorf("%v; go test -update adds it", err)
		}
	}
	for kind := range kinds {
		if _, ok := samples(t)[string(kind)]; !ok {
			t.Errorf("%s has no sample", kind)
		}
	}
}

func golden(name string) string {
	return filepath.Join("testdata", "v1", name+".entry")
}

func addMissing(t *testing.T) {
	t.Helper()
	for name, commands := range samples(t) {
		file := golden(name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if err := os.WriteFile(file, encode(commands), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(strings.TrimSuffix(file, ".entry")+".json", []byte(readable(t, commands)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readable shows commands with their payloads as text.
func readable(t testing.TB, commands []Command) string {
	t.Helper()
	type mutation struct {
		Kind                  Kind
		Tenant, Name, Payload string
		Base                  uint64
		Flags                 Flags
	}
	type shown struct {
		Command
		Mutations []mutation
	}
	out := make([]shown, len(commands))
	for i, c := range commands {
		out[i].Command = c
		for _, m := range c.Mutations {
			out[i].Mutations = append(out[i].Mutations, mutation{m.Kind, m.Tenant, m.Name, string(m.Payload), m.Base, m.Flags})
		}
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func TestWhatIsEncodedDecodesAgain(t *testing.T) {
	for name, want := range samples(t) {
		got, err := DecodeEntry(encode(want))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s decodes to %+v, want %+v", name, got, want)
		}
	}
}
