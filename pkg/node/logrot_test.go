package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// aged is a log that has lived: it was compacted, a new leader replaced its end
// more than once, it voted, and its file holds older copies of many pages.
type aged struct {
	dir   string
	file  []byte // raft.db
	tail  []byte
	pages *pageFile
	holds string // a sum of what a reader gets out of it
}

func ageLog(t *testing.T) *aged {
	t.Helper()
	a := &aged{dir: shortDir(t)}
	path := filepath.Join(a.dir, "raft.db")
	s, _ := testLog(t, path)
	rng := rand.New(rand.NewPCG(1, 2))
	last, term := uint64(0), uint64(1)
	write := func(n int) {
		for range n {
			var list []*raft.Log
			for range 1 + rng.IntN(8) {
				last++
				size := 40 + rng.IntN(300)
				if last%97 == 0 {
					size = 9000 // overflows into pages of its own
				}
				data := make([]byte, size)
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				list = append(list, &raft.Log{Index: last, Term: term, Data: data})
			}
			if err := s.StoreLogs(list); err != nil {
				t.Fatal(err)
			}
		}
	}
	vote := func() {
		err := errors.Join(s.SetUint64([]byte("CurrentTerm"), term), s.SetUint64([]byte("LastVoteTerm"), term), s.Set([]byte("LastVoteCand"), []byte("n2")))
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(min, max uint64) {
		if err := s.DeleteRange(min, max); err != nil {
			t.Fatal(err)
		}
	}
	vote()
	write(60)
	remove(1, 90)
	for range 3 { // a deposed leader's entries give way, as many to as many
		write(10)
		had := last
		remove(had-20, had)
		last, term = had-21, term+1
		vote()
		for last < had {
			last++
			if err := s.StoreLogs([]*raft.Log{{Index: last, Term: term, Data: fmt.Appendf(nil, "entry %d of another leader", last)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(40)
	remove(91, 140)
	write(3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.file, err = os.ReadFile(path); err == nil {
		a.tail, err = os.ReadFile(filepath.Join(a.dir, "tail"))
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err == nil {
		a.pages, err = readPages(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if a.holds, err = a.read(a.file, a.tail); err != nil {
		t.Fatal(err)
	}
	return a
}

// shortDir is a directory in memory where there is one: the tests below write a
// file thousands of times.
func shortDir(t *testing.T) string {
	t.Helper()
	base := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "cpctl-log-")
	if err != nil {
		dir, err = os.MkdirTemp("", "cpctl-log-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// read starts on a log file as a node does, and returns all that is in it.
func (a *aged) read(file, tail []byte) (string, error) {
	path := filepath.Join(a.dir, "raft.db")
	if err := errors.Join(os.WriteFile(path, file, 0o600), os.WriteFile(filepath.Join(a.dir, "tail"), tail, 0o600)); err != nil {
		return "", err
	}
	stopped := 0
	s, err := openLog(nil, path, func(error) { stopped++ })
	if err != nil {
		return "", err
	}
	defer s.Close()
	if err := s.whole(); err != nil {
		return "", err
	}
	b := sha256.New()
	for _, key := range raftKeys {
		v, err := s.Get(key)
		fmt.Fprintf(b, "%s %x %v\n", key, v, err)
	}
	first, last, err := s.ends()
	if err != nil {
		return "", err
	}
	for i := first; i <= last; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil {
			return "", err
		}
		fmt.Fprintln(b, e.Index, e.Term, e.Type, len(e.Data))
		b.Write(e.Data)
	}
	if stopped > 0 {
		return "", fmt.Errorf("it stopped and gave everything out")
	}
	return string(b.Sum(nil)), nil
}

// class says what a page is for.
func (a *aged) class(page int) string {
	b := a.file[page*int(a.pages.page):]
	switch {
	case page < 2:
		return "meta"
	case !a.pages.seen[uint64(page)]:
		return "free"
	case order.Uint64(b) != uint64(page):
		return "overflow"
	case order.Uint16(b[8:]) == pageBranch:
		return "branch"
	case bytes.Contains(b[:a.pages.page], []byte("CurrentTerm")):
		return "root"
	}
	return "leaf"
}

// judge wants a damaged log to be what it was, or to be refused by name.
func (a *aged) judge(t *testing.T, what string, file, tail []byte) (refused bool) {
	t.Helper()
	holds, err := a.read(file, tail)
	switch {
	case err == nil && holds == a.holds:
		return false
	case err == nil:
		t.Errorf("%s: the log is another one, and nobody noticed", what)
	case !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), a.dir):
		t.Errorf("%s: err = %v, want one of %s that names the file", what, err, store.CodeIntegrity)
	}
	return true
}

func TestAFlippedBitInALogIsFoundOrWithoutEffect(t *testing.T) {
	a := ageLog(t)
	size := int(a.pages.page)
	byClass := map[string][]int{}
	for page := range len(a.file) / size {
		c := a.class(page)
		byClass[c] = append(byClass[c], page)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	flips := 25 // of each class
	if n, err := strconv.Atoi(os.Getenv("CPCTL_FLIPS")); err == nil {
		flips = n
	}
	for _, class := range []string{"meta", "root", "branch", "leaf", "overflow", "free"} {
		pages := byClass[class]
		if len(pages) == 0 {
			t.Fatalf("there is no page of class %s to damage", class)
		}
		refused := 0
		for range flips {
			at := pages[rng.IntN(len(pages))] * size
			switch rng.IntN(2) {
			case 0: // where most of the meaning is
				at += rng.IntN(160)
			default:
				at += rng.IntN(size)
			}
			bit := byte(1) << rng.IntN(8)
			file := bytes.Clone(a.file)
			file[at] ^= bit
			if a.judge(t, fmt.Sprintf("bit %#02x of byte %d (%d of a %s page)", bit, at, at%size, class), file, a.tail) {
				refused++
			}
		}
		t.Logf("%-8s %3d pages, %d flips, %d refused, the others without effect", class, len(pages), flips, refused)
		if (refused == 0) != (class == "free") {
			t.Errorf("class %s: %d of %d flips were refused", class, refused, flips)
		}
	}
}

// bbolt would take the other meta page, which is the log before the last vote.
func TestAFlippedBitInAMetaPageIsFound(t *testing.T) {
	a := ageLog(t)
	for page := range 2 {
		for i := range boltHead + 64 {
			if i >= 10 && i < boltHead {
				continue // bytes of the head that a meta page does not use
			}
			file := bytes.Clone(a.file)
			file[page*int(a.pages.page)+i] ^= 1 << (i % 8)
			if !a.judge(t, fmt.Sprintf("byte %d of meta page %d", i, page), file, a.tail) {
				t.Errorf("byte %d of meta page %d: not found", i, page)
			}
		}
	}
}

// Every head of a page in use, and every pointer of the log, bit by bit.
func TestAFlippedBitInTheHeadOfAPageIsFound(t *testing.T) {
	a := ageLog(t)
	size := int(a.pages.page)
	count := 0
	for page := range a.pages.seen {
		if c := a.class(int(page)); c != "branch" && c != "root" {
			continue
		}
		for i := range 48 {
			for bit := range 8 {
				file := bytes.Clone(a.file)
				file[int(page)*size+i] ^= 1 << bit
				a.judge(t, fmt.Sprintf("bit %d of byte %d of page %d", bit, i, page), file, a.tail)
				count++
			}
		}
	}
	t.Logf("%d flips", count)
}

// What is worse than a flipped bit: a pointer to an older copy of a page, whose
// every byte was right once.
func TestAnOlderCopyOfAPageIsNoReplacement(t *testing.T) {
	a := ageLog(t)
	size := int(a.pages.page)
	type pointer struct{ at int }
	var pointers []pointer
	var old []uint64
	for page := range int(a.pages.high) {
		b := a.file[page*size:]
		switch class := a.class(page); {
		case class == "branch":
			for i := range int(order.Uint16(b[10:])) {
				pointers = append(pointers, pointer{page*size + boltHead + i*boltElement + 8})
			}
		case class == "root":
			name := bytes.Index(b[:size], []byte("logs"))
			pointers = append(pointers, pointer{page*size + name + len("logs")})
		case class == "free" && page > 1 && order.Uint64(b) == uint64(page):
			old = append(old, uint64(page))
		}
	}
	if len(old) < 5 || len(pointers) < 20 {
		t.Fatalf("%d old pages and %d pointers are too few for this test", len(old), len(pointers))
	}
	refused, count := 0, 0
	for _, p := range pointers {
		for _, page := range old {
			file := bytes.Clone(a.file)
			order.PutUint64(file[p.at:], page)
			count++
			if a.judge(t, fmt.Sprintf("the pointer at %d leads to the old page %d", p.at, page), file, a.tail) {
				refused++
			}
		}
	}
	t.Logf("%d pointers to %d old pages: %d of %d refused", len(pointers), len(old), refused, count)
	if refused == 0 {
		t.Error("none was refused")
	}
}

func TestATruncatedLogIsRefused(t *testing.T) {
	a := ageLog(t)
	size := int(a.pages.page)
	for _, n := range []int{0, 1, 511, 512, size, 2 * size, 3*size + 7, int(a.pages.high-1) * size, int(a.pages.high)*size - 1} {
		if !a.judge(t, fmt.Sprintf("%d of %d bytes", n, len(a.file)), a.file[:n], a.tail) {
			t.Errorf("%d of %d bytes were taken for the whole log", n, len(a.file))
		}
	}
	if a.judge(t, "the unused end", a.file[:int(a.pages.high)*size], a.tail) {
		t.Error("without its unused end the log was refused")
	}
}

// The file tail says where the log ends; damage to it alone is without effect.
func TestAFlippedBitInTheTailIsWithoutEffect(t *testing.T) {
	a := ageLog(t)
	for i := 0; i < len(a.tail); i += 19 {
		tail := bytes.Clone(a.tail)
		tail[i] ^= 1 << (i % 8)
		if a.judge(t, fmt.Sprintf("byte %d of tail", i), a.file, tail) {
			t.Errorf("byte %d of tail: refused", i)
		}
	}
	if !a.judge(t, "no record of tail whole", a.file, bytes.Repeat([]byte("x"), len(a.tail))) {
		t.Error("a tail without a record was accepted")
	}
}

// A log that is the log of a moment before, in every byte: only the file beside
// it knows.
func TestALogOfAMomentBeforeIsRefused(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "raft.db")
	s, _ := testLog(t, path)
	if err := s.StoreLogs(entries(1, 20, 1)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err := errors.Join(err, s.StoreLogs(entries(21, 22, 1)), s.Close(), os.WriteFile(path, before, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = openLog(nil, path, func(error) {})
	if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), "it ends at entry 20, and entry 22 had been written") {
		t.Errorf("err = %v", err)
	}
}

// A log whose end was cut off by a new leader may be found before or after.
func TestALogCutByALeaderIsNoDamage(t *testing.T) {
	path := filepath.Join(shortDir(t), "raft.db")
	s, _ := testLog(t, path)
	if err := errors.Join(s.StoreLogs(entries(1, 20, 1)), s.DeleteRange(11, 20)); err != nil {
		t.Fatal(err)
	}
	reopen := func(last uint64) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, _ = testLog(t, path)
		wantEnds(t, s, 1, last)
		if err := s.whole(); err != nil {
			t.Error(err)
		}
	}
	reopen(10)
	if err := s.StoreLogs(entries(11, 12, 2)); err != nil {
		t.Fatal(err)
	}
	reopen(12)
	s.writing.Lock()
	err := s.shorten(5, 12) // and the machine stops before anything is deleted
	s.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	reopen(12)
}

func TestACheckNamesEveryDamagedEntry(t *testing.T) {
	s, st := testLog(t, filepath.Join(shortDir(t), "raft.db"))
	if err := s.StoreLogs(entries(1, 30, 3)); err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint64{7, 19} {
		var e raft.Log
		if err := s.db.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
		e.Data[0] ^= 1
		if err := s.db.StoreLog(&e); err != nil {
			t.Fatal(err)
		}
	}
	older, _ := withChecksum(entries(25, 25, 2)[0], 99) // whole in itself
	if err := errors.Join(s.db.StoreLog(older), s.db.DeleteRange(28, 28)); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set([]byte("CurrentTerm"), binary.BigEndian.AppendUint64(nil, 9)); err != nil {
		t.Fatal(err)
	}
	faults, err := s.check()
	var got []string
	for _, f := range faults {
		_, what, _ := strings.Cut(f.Error(), "is damaged: ")
		got = append(got, what)
	}
	want := []string{
		`its value "CurrentTerm": its checksum does not match`,
		"entry 7 is not what was written: its checksum does not match",
		"entry 19 is not what was written: its checksum does not match",
		"entry 25 has term 2, the one before it 3",
		"entry 26 was not written behind the entry 25 that is there",
		"entry 28 is missing, though the log goes on to entry 30",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v:\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(st.errs) != 0 {
		t.Errorf("the check stopped the log: %v", st.errs)
	}
}

// A file that is cut under an open log ends in an error, not in a signal.
func TestALogCutShortUnderTheNodeStopsIt(t *testing.T) {
	for _, call := range []struct {
		name string
		do   func(*logStore) error
	}{
		{"read", func(s *logStore) error { return s.GetLog(400, new(raft.Log)) }},
		{"append", func(s *logStore) error { return s.StoreLogs(entries(501, 502, 1)) }},
		{"ends", func(s *logStore) error { return second(s.LastIndex()) }},
		{"vote", func(s *logStore) error { return s.SetUint64([]byte("CurrentTerm"), 5) }},
		{"term", func(s *logStore) error { return second(s.GetUint64([]byte("CurrentTerm"))) }},
	} {
		t.Run(call.name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "raft.db")
			s, st := testLog(t, path)
			if err := s.StoreLogs(entries(1, 500, 1)); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			err := call.do(s)
			if !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), path) || !reflect.DeepEqual(st.errs, []error{err}) {
				t.Errorf("err = %v, stopped with %v", err, st.errs)
			}
		})
	}
}
