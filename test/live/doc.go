// Package live runs cpctl as an operator does: nodes are processes on real
// directories and ports, commands are processes too, and a node can be killed,
// stopped, put behind another command or left to end by itself. It is for tests
// only and proves nothing of its own.
//
// The processes are the test binary itself, which runs as cpctl when the
// environment says so: what is tested is what was compiled, and under -race
// nodes and commands are watched as well. A package of tests says it once:
//
//	func TestMain(m *testing.M) { live.Main(m) }
//
// Everything belongs to one test and goes with it. What ends the test (Start,
// Kill, Must, Until and all that take a testing.TB) is for its goroutine only;
// Run is for any.
package live
