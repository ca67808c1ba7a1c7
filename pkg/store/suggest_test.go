package store

import (
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	fields := []string{"client_name", "client_uri", "contacts", "scopes", "state"}
	for _, c := range []struct {
		fact, word string
		among      []string
		want       string
	}{
		{"one letter missing", "clientname", fields, "client_name"},
		{"one letter too many", "scopess", fields, "scopes"},
		{"one letter replaced", "stata", fields, "state"},
		{"two letters swapped", "sttae", fields, "state"},
		{"three edits are too many", "sta", []string{"status"}, ""},
		{"the nearest wins", "aaab", []string{"aabb", "aaa"}, "aabb"},
		{"the first of equals wins", "web2", []string{"web1", "web3"}, "web1"},
		{"nothing near", "quotas", fields, ""},
		{"nothing to choose from", "web", nil, ""},
		{"counts characters, not bytes", "añá", []string{"aña"}, "aña"},
		{"does no work on a flood", strings.Repeat("a", 1000), []string{strings.Repeat("a", 1000)}, ""},
	} {
		if got := Suggest(c.word, c.among); got != c.want {
			t.Errorf("%s: Suggest(%q) = %q, want %q", c.fact, c.word, got, c.want)
		}
	}
}
