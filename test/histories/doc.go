// Package histories judges what the clients of a cluster were told, from what
// they have noted outside of it: who asked for what, when, and what the answer
// was. It is for tests only.
//
// Three judges look at a history, and each one sees what another does not.
//
//   - Linearizable has porcupine look for an order of the operations on one
//     document that explains every answer and that agrees with the clock of the
//     clients. A write that nobody was told of may have taken effect at any time
//     after it was asked for, or never.
//   - Ledger plays all writes in the order of their revisions, of which there is
//     one for each: a revision that nobody was told of, one that two were told
//     of, an answer that cannot be at its revision, a read that shows something
//     else than its revision holds. It asks the request table of an archive what
//     became of the writes that nobody was told of.
//   - Order looks at times and revisions alone, over all documents: what was
//     answered before something was asked for must be in it.
package histories
