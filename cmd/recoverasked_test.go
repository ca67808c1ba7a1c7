package cmd

import (
	"errors"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestNoRecoveryWhileAMemberAnswers(t *testing.T) {
	s := left("n3", 4, 1042, 1040, 1003, 0)
	for _, name := range []string{"n1", "n2", "n3"} {
		s.Members = append(s.Members, node.Member{ID: "id-" + name, Name: name, Voter: true})
	}
	at := func(name string, generation uint64) node.Answer {
		return node.Answer{Name: name, NodeID: "id-" + name, Address: "10.0.0." + name[1:] + ":7700", Generation: generation}
	}
	for _, tt := range []struct {
		fact    string
		voters  int
		answers []node.Answer
		says    string
		hint    string
	}{
		{"one of three", 3, []node.Answer{at("n1", 1)}, "n1 at 10.0.0.1:7700 answers: the cluster is not lost", "or start this one as it is: cpctl node --data-dir /srv/n3"},
		{"the other two", 3, []node.Answer{at("n1", 1), at("n2", 1)}, "n1 at 10.0.0.1:7700, n2 at 10.0.0.2:7700 answer: the cluster is not lost", "stop those nodes first"},
		{"a minority", 5, []node.Answer{at("n1", 1)}, "n1 at 10.0.0.1:7700 answers: who runs is not lost", "stop that node first if it must be left behind"},
		{"a member that is newer than the directory", 5, []node.Answer{at("n9", 1)}, "the cluster is not lost", "stop that node first"},
		{"the node of a copy", 3, []node.Answer{at("n3", 1)}, "n3 at 10.0.0.3:7700 answers", "/srv/n3 is a copy"},
		{"the next generation", 3, []node.Answer{at("n1", 2)}, "recovered as generation 2 without", "empty it and join"},
	} {
		err := unanswered(&node.Outlook{All: []*node.Survivor{s}, Best: s, Voters: tt.voters, Answers: tt.answers}, s)
		var e *store.Error
		if exitCode(err) != 8 || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%s: exit %d, %v, hint %v; want %q, %q", tt.fact, exitCode(err), err, e, tt.says, tt.hint)
		}
	}
	if err := unanswered(&node.Outlook{All: []*node.Survivor{s}, Best: s, Voters: 3}, s); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
}
