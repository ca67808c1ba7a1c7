package node

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/disk"
)

// FuzzStoredEntry: an entry comes back from the log as it was put in, and one
// flipped bit of it does not pass.
func FuzzStoredEntry(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(raft.LogCommand), []byte("data"), []byte("ext"), uint16(3))
	f.Add(uint64(1)<<63, uint64(0), uint8(raft.LogConfiguration), []byte{}, []byte{}, uint16(200))
	f.Add(uint64(0), uint64(0), uint8(255), []byte{0}, []byte{0, 0, 0, 0, 0}, uint16(9))
	for at := range uint16(23) { // one bit of each byte
		f.Add(uint64(5), uint64(6), uint8(raft.LogCommand), []byte("da"), []byte(nil), 8*at+at%8)
	}
	f.Fuzz(func(t *testing.T, index, term uint64, kind uint8, data, extensions []byte, bit uint16) {
		if len(extensions) == 0 {
			extensions = nil
		}
		made := raft.Log{Index: index, Term: term, Type: raft.LogType(kind), Data: data, Extensions: extensions}
		takeChecksum(&raft.Log{Index: index, Term: term, Data: data, Extensions: extensions}) // of a stranger: no panic
		before := uint32(index + term)
		stored, sum := withChecksum(&made, before)
		back := *stored
		if got, link, ok := takeChecksum(&back); !ok || got != sum || link != before || !reflect.DeepEqual(back, made) {
			t.Fatalf("%+v came back as %+v", made, back)
		}
		hurt := *stored
		hurt.Data, hurt.Extensions = append([]byte(nil), data...), append([]byte(nil), stored.Extensions...)
		switch at := int(bit) / 8 % (17 + len(data) + len(hurt.Extensions)); {
		case at < 8:
			hurt.Index ^= 1 << (bit % 64)
		case at < 16:
			hurt.Term ^= 1 << (bit % 64)
		case at == 16:
			hurt.Type ^= 1 << (bit % 8)
		case at < 17+len(data):
			hurt.Data[at-17] ^= 1 << (bit % 8)
		default:
			hurt.Extensions[at-17-len(data)] ^= 1 << (bit % 8)
		}
		if _, _, ok := takeChecksum(&hurt); ok {
			t.Fatalf("%+v passes for %+v", hurt, stored)
		}
	})
}

// FuzzNodeFile: node.json is refused or says the same when it is saved again.
func FuzzNodeFile(f *testing.F) {
	for _, id := range []identity{{FormatVersion: "1.0", NodeID: "a", Name: "n1", ClusterID: "c", Generation: 1, Phase: phaseMember}, {FormatVersion: "2.0"}} {
		b, err := encodeRecord(id)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"format_version":"1.0","node_id":"a","name":"n1","cluster_id":"c","generation":1,"phase":"member"}`))
	f.Add([]byte(`null`))
	dir := &dataDir{path: f.TempDir(), disk: disk.Real{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir.path, "node.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := dir.load()
		if err != nil {
			return
		}
		if id == nil {
			t.Fatalf("%q is taken for no file", b)
		}
		if err := dir.save(id); err != nil {
			t.Fatalf("%q was read and cannot be saved: %v", b, err)
		}
		if again, err := dir.load(); err != nil || *again != *id {
			t.Fatalf("%q is read as %+v, saved, read again as %+v, %v", b, id, again, err)
		}
	})
}
