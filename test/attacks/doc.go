// Package attacks is against clusters of real processes: strangers at the port,
// peers that are slow, many or greedy, people who want more than they may, and
// names and frames that nobody honest would send. Each attack has to be refused
// with the right words while a writer beside it goes on being answered, and has
// to leave nothing behind: no memory, no connection, no file.
//
// docs/security.md says which test stands for which threat. Strangers
// with the wrong protocol, version or authority are in package cluster.
package attacks
