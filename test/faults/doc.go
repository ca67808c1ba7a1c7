// Package faults takes nodes down the hard way, again and again, and looks for
// what must never be: a write that was acknowledged and is lost, one that took
// effect twice, a file that is not whole, a reader who is shown an older state
// than before. There is nothing in it but tests.
//
// A trial is a cluster of processes under load. Writers send every kind of
// change and put what was acknowledged into a book outside of the cluster;
// readers beside every node look at its files all the time, by their names and
// through a handle of data/, as a program that signs tokens would. Whenever the
// trial checks, the writers rest, the book is played again in the order of the
// revisions, and what comes out has to be what every node shows.
//
// How often, and with which seed, are flags of the test binary; the defaults
// end in less than a minute each. A long run is done in pieces of any size,
// each with another seed:
//
//	go test ./test/faults -v -run Kills -timeout 60m -args -kills 250 -seed 1
//	go test ./test/faults -v -run PowerLoss -timeout 60m -args -losses 50 -seed 1
//
// Moments are chosen by counting acknowledged writes, and the seed decides at
// which count, who is hit, and what is written; the scheduler decides the rest,
// so a seed repeats a run closely and not exactly.
package faults
