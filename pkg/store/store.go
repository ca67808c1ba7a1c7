// Package store holds the state of the control plane: the four kinds of
// document with their rules of form, the ordered in-memory image of all of
// them, and the repositories through which a change reaches it.
//
// It does no I/O, reads no clock and no random source. What a change does is
// package applier's; how the image becomes files is package publish's.
package store
