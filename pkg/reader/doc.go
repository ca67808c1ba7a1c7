// Package reader is how an authorization server reads the files of the node
// beside it: tenants, clients, scopes and public keys, with no network and no
// cluster to ask. It knows nothing of the rest of cpctl and imports only the
// standard library and golang.org/x/crypto. It changes nothing, takes no lock,
// starts no goroutine, and may be used from any number of them.
//
// The format of the files is in docs/files.md, for those who read them in
// another language. What a server may rely on:
//
//   - A document is whole, and never older than it was for an earlier read.
//   - One document is read by a method of Reader: its file, the node's note of what
//     the files hold, and the parsing; some twenty system calls.
//   - Several that belong together are read inside of Reader.View, which looks
//     again when the files were changed meanwhile. What is missing in a settled
//     view does not exist.
//   - After a boot of the machine nothing is read until the node has compared its
//     files with its log: ErrNotReady. From then on they are there, also while the
//     node is stopped.
//   - A change that was answered with "published": true is in the files before
//     the answer. Reader.Changed tells of it within Interval.
//
// A node that leaves a cluster, or cannot write its files, goes on showing the
// last state that it could: how far it is behind is what `cpctl cluster status`
// tells, not this package.
package reader
