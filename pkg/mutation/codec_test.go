package mutation

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// wantUnreadable checks that an entry is refused with ErrUnreadable and a text.
func wantUnreadable(t *testing.T, fact string, entry []byte, says string) {
	t.Helper()
	commands, err := DecodeEntry(entry)
	if !errors.Is(err, ErrUnreadable) || commands != nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: DecodeEntry = %d commands, %v, want an unreadable entry that says %q", fact, len(commands), err, says)
	}
}

func TestNewerEntriesAreNamed(t *testing.T) {
	kind := command("r1", Mutation{Kind: "client.merge", Tenant: "acme", Name: "web"})
	level := command("r1", Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web"})
	level.Level = Level + 1
	none := level
	none.Level = 0
	flags := command("r1", Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web", Flags: 0x88 | Detach})
	good := command("r0", Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web"})
	for _, c := range []struct {
		fact  string
		entry []byte
		says  string
	}{
		{"an unknown type of mutation", encode([]Command{kind}), `unknown type of mutation "client.merge"`},
		{"an unknown type behind a known one", encode([]Command{good, kind}), `unknown type of mutation "client.merge"`},
		{"a kind in other letters", encode([]Command{command("r1", Mutation{Kind: "Tenant.Delete"})}), `unknown type of mutation "Tenant.Delete"`},
		{"no kind", encode([]Command{command("r1", Mutation{})}), `unknown type of mutation ""`},
		{"a newer level", encode([]Command{level}), "level 2, this build knows levels up to 1"},
		{"no level", encode([]Command{none}), "level 0"},
		{"unknown flags", encode([]Command{flags}), "unknown flags 0x8a"},
		{"a newer version", append([]byte{2}, encode([]Command{good})[1:]...), "version 2, this build reads up to version 1"},
		{"version zero", append([]byte{0}, encode([]Command{good})[1:]...), "version 0"},
		{"nothing at all", nil, "version 0"},
		{"text", []byte(`{"kind":"tenant.delete"}`), "version 123"},
	} {
		wantUnreadable(t, c.fact, c.entry, c.says)
	}
}

func TestLimits(t *testing.T) {
	entry := func(change func(*Command, *Mutation)) []byte {
		c := command("r1", Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web"})
		change(&c, &c.Mutations[0])
		return encode([]Command{c})
	}
	many := func(n int) []Command { return make([]Command, n) }
	levelled := func(n int) []Command {
		all := many(n)
		for i := range all {
			all[i].Level = 1
		}
		return all
	}
	for _, c := range []struct {
		fact  string
		entry []byte
		says  string // "" when it is taken
	}{
		{"takes 256 commands", encode(levelled(MaxBatch)), ""},
		{"refuses 257 commands", encode(levelled(MaxBatch + 1)), "a count of 257, at most 256"},
		{"takes 1024 mutations", entry(func(c *Command, m *Mutation) { c.Mutations = slices.Repeat([]Mutation{*m}, maxMutations) }), ""},
		{"refuses 1025 mutations", entry(func(c *Command, m *Mutation) { c.Mutations = slices.Repeat([]Mutation{*m}, maxMutations+1) }), "a count of 1025"},
		{"takes a payload of 256 KiB", entry(func(_ *Command, m *Mutation) { m.Payload = make([]byte, MaxCommand) }), ""},
		{"refuses a payload of a byte more", entry(func(_ *Command, m *Mutation) { m.Payload = make([]byte, MaxCommand+1) }), "a count of 262145, at most 262144"},
		{"refuses an entry of more than 512 KiB", make([]byte, MaxEntry+1), "524289 bytes, at most 524288"},
		{"takes a request id of 64", entry(func(c *Command, _ *Mutation) { c.ID = strings.Repeat("r", 64) }), ""},
		{"refuses a request id of 65", entry(func(c *Command, _ *Mutation) { c.ID = strings.Repeat("r", 65) }), "a count of 65"},
		{"refuses an operation of 65", entry(func(c *Command, _ *Mutation) { c.Op = strings.Repeat("o", 65) }), "a count of 65"},
		{"refuses an actor of 257", entry(func(c *Command, _ *Mutation) { c.Actor = strings.Repeat("a", 257) }), "a count of 257"},
		{"takes a tenant of 63", entry(func(_ *Command, m *Mutation) { m.Tenant = strings.Repeat("t", 63) }), ""},
		{"refuses a tenant of 65", entry(func(_ *Command, m *Mutation) { m.Tenant = strings.Repeat("t", 65) }), "a count of 65"},
		{"refuses a name of 257", entry(func(_ *Command, m *Mutation) { m.Name = strings.Repeat("n", 257) }), "a count of 257"},
		{"refuses a kind of 65", entry(func(_ *Command, m *Mutation) { m.Kind = Kind(strings.Repeat("k", 65)) }), "a count of 65"},
		{"refuses bytes after the last command", append(entry(func(*Command, *Mutation) {}), 0), "1 bytes after the last command"},
		{"refuses a count that no number holds", append([]byte{1}, bytes.Repeat([]byte{0xFF}, 10)...), "a number is cut short"},
		{"refuses a count not in its shortest form", []byte{1, 0x80, 0x00}, "not in its shortest form"},
		{"refuses a count of commands that are not there", []byte{1, 3}, "cut short"},
	} {
		if c.says == "" {
			if commands, err := DecodeEntry(c.entry); err != nil || !bytes.Equal(encode(commands), c.entry) {
				t.Errorf("%s: %d commands, %v", c.fact, len(commands), err)
			}
			continue
		}
		wantUnreadable(t, c.fact, c.entry, c.says)
	}
}

// TestACountClaimsNoMemory: a few bytes must not make the node allocate what
// they only announce.
func TestACountClaimsNoMemory(t *testing.T) {
	entry := binary.AppendUvarint([]byte{1}, MaxBatch)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := DecodeEntry(entry); err == nil {
			t.Fatal("an entry without its commands was taken")
		}
	}); n > 20 {
		t.Errorf("%v allocations for an entry of %d bytes", n, len(entry))
	}
}

// TestEveryCutIsRefused cuts the whole set of samples at every byte.
func TestEveryCutIsRefused(t *testing.T) {
	for name, commands := range samples(t) {
		entry := encode(commands)
		for n := range entry {
			if got, err := DecodeEntry(entry[:n]); !errors.Is(err, ErrUnreadable) || got != nil {
				t.Fatalf("%s cut to %d of %d bytes: %d commands, %v", name, n, len(entry), len(got), err)
			}
		}
	}
}

// TestAFlippedByteIsRefusedOrReadAsItIs: an entry has one encoding. Whatever is
// accepted encodes to the same bytes, so that two entries are never one command.
func TestAFlippedByteIsRefusedOrReadAsItIs(t *testing.T) {
	all := samples(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		entry := encode(all[name])
		for i := range entry {
			for _, flip := range []byte{0x01, 0x10, 0x80, 0xFF} {
				bad := bytes.Clone(entry)
				bad[i] ^= flip
				checkOneEncoding(t, bad)
			}
		}
	}
}

func checkOneEncoding(t *testing.T, entry []byte) {
	t.Helper()
	commands, err := DecodeEntry(entry)
	switch {
	case err != nil && (!errors.Is(err, ErrUnreadable) || commands != nil):
		t.Fatalf("%x: %d commands, %v, want ErrUnreadable and no command", entry, len(commands), err)
	case err == nil && !bytes.Equal(encode(commands), entry):
		t.Fatalf("%x is encoded again as %x", entry, encode(commands))
	}
	for _, c := range commands {
		for _, m := range c.Mutations {
			if !kinds[m.Kind] || c.Level == 0 || c.Level > Level {
				t.Fatalf("%x: took %q of level %d", entry, m.Kind, c.Level)
			}
		}
	}
}

// TestPayloadsOfTheClusterAreReadWithTheEntry: one that this build cannot read
// is as newer as an unknown kind.
func TestPayloadsOfTheClusterAreReadWithTheEntry(t *testing.T) {
	for kind := range kinds {
		for _, payload := range []string{"", "{", "[]", `{"surprise":1}`, "{}{}", "{} x", "\x00"} {
			c := command("r1", Mutation{Kind: kind, Tenant: "acme", Payload: []byte(payload)})
			if !strings.HasPrefix(string(kind), "sys.") {
				if _, err := DecodeEntry(encode([]Command{c})); err != nil {
					t.Errorf("%s: %v; documents are judged by applying", kind, err)
				}
				continue
			}
			wantUnreadable(t, string(kind), encode([]Command{c}), "payload of "+string(kind))
		}
	}
}

// TestTheLeaderProposesOnlyWhatIsReadable: what it asks of one command is what
// decoding will ask.
func TestTheLeaderProposesOnlyWhatIsReadable(t *testing.T) {
	for name, commands := range samples(t) {
		for i := range commands {
			b := AppendCommand(nil, &commands[i])
			for _, bad := range [][]byte{b, append(bytes.Clone(b), 0), b[:len(b)-1], append([]byte{0x80}, b...)} {
				_, err := DecodeEntry(EncodeEntry([][]byte{bad}))
				if got := Readable(bad); (got == nil) != (err == nil) || (got == nil) != bytes.Equal(bad, b) {
					t.Errorf("%s: Readable = %v, decoding = %v", name, got, err)
				}
			}
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, commands := range samples(f) {
		f.Add(encode(commands))
		f.Add(append(encode(commands), 0))
	}
	f.Add([]byte{1, 0x80, 0x00})
	f.Add([]byte{2})
	f.Fuzz(checkOneEncoding)
}

// TestPayloadsDoNotReachIntoEachOther: the commands share the memory of the
// entry; appending to one payload must not write into the next.
func TestPayloadsDoNotReachIntoEachOther(t *testing.T) {
	entry := encode([]Command{
		command("r1", Mutation{Kind: ClientCreate, Payload: []byte("first")}),
		command("r2", Mutation{Kind: ClientCreate, Payload: []byte("second")}),
	})
	want := bytes.Clone(entry)
	commands, err := DecodeEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(commands[0].Mutations[0].Payload, "overflow"...)
	if !bytes.Equal(entry, want) {
		t.Errorf("the entry became %x, want %x", entry, want)
	}
}

// FuzzReadable: what the leader takes for readable is what every node decodes,
// and a request that was read is written and read again as the same.
func FuzzReadable(f *testing.F) {
	for _, commands := range samples(f) {
		for i := range commands {
			f.Add(AppendCommand(nil, &commands[i]))
			f.Add(append(AppendCommand(nil, &commands[i]), 0))
		}
	}
	f.Add([]byte(`{"id":"r1","op":"client.create","tenant":"acme","name":"web","patch":{"enabled":false},"set":[{"path":"a.b","value":"1"}],"if_revision":3,"overlap":"1w","secret":"x"}`))
	f.Add([]byte(`{"op":"key.revoke","seed":"AAAA","patch":null,"remove":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := DecodeEntry(EncodeEntry([][]byte{b}))
		if readable := Readable(b) == nil; readable != (err == nil) && len(b) <= MaxCommand {
			t.Fatalf("%x is readable: %v; decoded: %v", b, readable, err)
		}
		var r, again Request
		if json.Unmarshal(b, &r) != nil {
			return
		}
		once, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("%s was read and cannot be written: %v", b, err)
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%s is written as %s, which cannot be read: %v", b, once, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s is written as %s, then as %s, %v", b, once, twice, err)
		}
	})
}
