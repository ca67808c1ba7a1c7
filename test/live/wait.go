package live

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen. The machine may have
// other work: only a broken product makes anybody wait that long.
const Patience = 60 * time.Second

// Until waits for a condition.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if holds() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", Patience, what)
		}
	}
}
