package node

import "testing"

// Reads that wait share a confirmation, and a read takes part only in one that
// begins after it arrived: a quorum that answered before says nothing about it.
func TestReadsThatWaitShareOneConfirmation(t *testing.T) {
	var c confirmer
	begun, answer := make(chan uint64), make(chan struct{})
	number := uint64(0)
	confirm := func() (uint64, error) {
		number++ // one round at a time
		begun <- number
		<-answer
		return number, nil
	}
	first := c.enter(confirm)
	if <-begun != 1 {
		t.Fatal("not the first round")
	}
	second := c.enter(confirm)
	for range 100 { // while the first one is under way
		if r := c.enter(confirm); r != second {
			t.Fatal("a read that waits has a round of its own")
		}
	}
	answer <- struct{}{}
	if <-first.done; first.index != 1 || second == first {
		t.Fatalf("the first read got round %d; those after it share it: %v", first.index, second == first)
	}
	if <-begun != 2 {
		t.Fatal("not the second round")
	}
	third := c.enter(confirm)
	answer <- struct{}{}
	<-second.done
	<-begun
	answer <- struct{}{}
	if <-third.done; second.index != 2 || third.index != 3 {
		t.Errorf("rounds %d and %d, want 2 and 3", second.index, third.index)
	}
}
