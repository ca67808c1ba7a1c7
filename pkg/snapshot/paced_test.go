package snapshot

import (
	"testing"
	"time"
)

// slow takes its time for each write.
type slow struct{ takes time.Duration }

func (s *slow) Write(b []byte) (int, error) {
	for began := time.Now(); time.Since(began) < s.takes; {
	}
	return len(b), nil
}

func TestAPackerRestsWhileChangesAreApplied(t *testing.T) {
	index, rests := uint64(7), []time.Duration(nil)
	to := &slow{}
	p := Paced(to, func() uint64 { return index }).(*paced)
	p.sleep = func(d time.Duration) { rests = append(rests, d) }
	write := func(takes time.Duration, want string, ok func(rest time.Duration) bool) {
		t.Helper()
		rests, to.takes = nil, takes
		if n, err := p.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if len(rests) > 1 || ok == nil && len(rests) == 1 || ok != nil && (len(rests) == 0 || !ok(rests[0])) {
			t.Errorf("it rests for %v, want %s", rests, want)
		}
	}
	write(2*paceWork, "none: nothing was applied", nil)
	index++
	write(2*paceWork, "twice the work", func(d time.Duration) bool { return d >= min(2*paceRest*paceWork, paceMost) && d <= paceMost })
	write(2*paceWork, "none: nothing more was applied", nil)
	index++
	write(paceMost, "no more than the most", func(d time.Duration) bool { return d == paceMost })
}
