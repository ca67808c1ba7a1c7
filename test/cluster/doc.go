// Package cluster proves what the design promises of a cluster, with the parts
// an operator has: processes of cpctl on real directories and ports, killed and
// started again, stopped for a while and cut off from each other, and commands
// as they are typed. There is nothing in it but tests, each of which begins with
// the words of the promise; package live has the processes.
//
// Commands that CI would run are processes of their own. Where a test needs
// many documents only to have them (ten thousand clients, a log that leaves a
// node behind) it sends them over the socket with rpc.Client, several at a time.
package cluster
