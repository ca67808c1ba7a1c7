// Package mistakes makes the classic mistakes of a replicated store, one by one,
// and shows that the tests of the project catch each of them. It is a test of
// the tests: one that cannot fail is noticed here.
//
// A mistake is testdata/<name>.patch: a line that says what it is, a line that
// names the package and the test that catch it, and a unified diff:
//
//	The old file is removed before the new one takes its name.
//	Caught-by: ./pkg/publish TestReadersSeeWholeDocumentsThatNeverStepBack
//
//	--- a/pkg/publish/tree.go
//	+++ b/pkg/publish/tree.go
//
// The patch is applied to copies of the files that it names; Go builds with them
// in the place of the originals (-overlay), and the tree stays as it is. It must
// build, and the named test must fail; without the patch it must pass.
package mistakes
