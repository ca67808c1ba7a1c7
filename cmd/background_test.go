package cmd

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestTheBackgroundIsForAllThreads runs itself again: whoever has given way cannot
// take it back.
func TestTheBackgroundIsForAllThreads(t *testing.T) {
	if os.Getenv("CPCTL_TEST_BACKGROUND") == "" {
		again := exec.Command(os.Args[0], "-test.run", t.Name(), "-test.v")
		again.Env = append(os.Environ(), "CPCTL_TEST_BACKGROUND=1")
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	background()
	background() // and no further
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(stat), ") ") // proc(5): the third field is next, and nice is the nineteenth
		if nice := strings.Fields(after)[19-3]; nice != strconv.Itoa(niceness) {
			t.Errorf("thread %s has the niceness %s, want %d", thread.Name(), nice, niceness)
		}
	}
}
