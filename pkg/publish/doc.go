// Package publish shows the state as plain files. It keeps data/ equal to the
// newest store.Image that it was given, and it keeps the two markers: how far
// this node has shown (raft/committed) and what the files hold
// (data/.applied). It decides nothing about the state and reads none of it
// back: the log is the truth, the files are a view of it, and they are not
// synced. Package store has the documents, package fsm calls this one.
//
// What readers may rely on, and how it is reached:
//
//   - A file is whole. It is written in restore.tmp/ and swapped with its
//     predecessor by one renameat2(RENAME_EXCHANGE), or renamed into place when
//     there is none. (Exchange and unlink take a third of the time of a rename
//     over a file on ext4, which flushes the new file's data.) The predecessor is
//     used for a later file once nobody has it open, see spare.
//   - Files move forward only. One goroutine writes, always the newest image's
//     bytes; after a start it waits for an image at least as new as .applied says
//     the files of this boot are.
//   - Within a batch the changes go tenant by tenant: scopes, clients, jwks,
//     keyset, tenant, then what is gone in reverse. What is gone is the highest
//     directory with nothing left in it, taken out by one rename into restore.tmp/.
//     A tenant that was deleted and made again is taken out first, so that no
//     reader sees the new one with the old one's clients or keys.
//   - A change of many files at once (a committed stage, an installed snapshot, a
//     large repair) is staged in restore.tmp/, compared with the image, and swapped
//     in with one exchange of data/. A descriptor of the old data/ stays on the
//     whole old tree for the grace time (10 s); then .applied goes first, so a
//     slow reader finds out that it has to open data/ again.
//   - .applied says intent before a batch and done after it. During the
//     verification after a boot it keeps the older boot's id: not ready.
//
// Decisions where the design is silent: an .applied of another cluster refuses
// to open (exit 11), since the directory is somebody else's; one that cannot be
// read only means that everything is compared. Names in data/ that are not the
// image's are deleted at verification, links are never followed. A failed whole
// exchange for lack of space is tried again file by file, which needs less.
package publish
