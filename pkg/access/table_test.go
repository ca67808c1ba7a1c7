package access

import (
	"strings"
	"testing"
)

// What stands after "may" stands after "may not", too.
func TestTheWordsFollowMayAndMayNot(t *testing.T) {
	for _, r := range Table() {
		if strings.Contains(r.Words, " and ") {
			t.Errorf("nobody may %[1]s; whoever may not %[1]s may do one of it", r.Words)
		}
	}
}
