// Package pki holds the identities and the secrets of a cluster: who may speak
// (certificates of the cluster's own authority), what is sealed (private keys
// under the cluster key), what is only hashed (client secrets), and how signing
// keys are made. It is called before the log, never while applying: nearly all
// of it reads the random source. It keeps no state and touches no file.
//
// Decisions that stand for the whole package:
//
//   - A certificate says who its holder is in one URI SAN (see Identity). Host
//     names mean nothing; addresses of nodes change, identities do not.
//   - Every use of the cluster key goes through a key derived for that use, so
//     that what is published of one use says nothing about another.
//   - What a stranger sent is refused with a *store.Error; what fails for want
//     of randomness or by misuse is a plain error.
//
// The documents that carry the results are in package store.
package pki
