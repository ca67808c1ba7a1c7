package cmd

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
)

// topics are what help knows beside commands.
var topics = map[string]struct {
	short string
	text  func(*Env) error
}{
	"roles": {"What each role may do", (*Env).helpRoles},
}

func topicNames() []string { return slices.Sorted(maps.Keys(topics)) }

// people are the roles that a person may have, the most trusted first.
var people = []access.Role{access.Admin, access.Operator, access.Reader}

// helpRoles prints the table of rights as package access has it.
func (e *Env) helpRoles() error {
	if _, err := fmt.Fprint(e.Out, rolesBefore); err != nil {
		return err
	}
	t := table{titles: []string{"TO"}}
	for _, role := range people {
		t.titles = append(t.titles, strings.ToUpper(string(role)))
	}
	t.titles = append(t.titles, "BOUND TO A TENANT")
	for _, r := range access.Table() {
		row := []string{r.Words}
		for _, role := range people {
			row = append(row, yesOrNot(r.Allows(role)))
		}
		bound := ""
		if r.Bound {
			bound = "in that tenant"
		}
		t.rows = append(t.rows, append(row, bound))
	}
	if err := e.table(t); err != nil {
		return err
	}
	_, err := fmt.Fprint(e.Out, rolesAfter)
	return err
}

// rolesManual is the same as a section of the manual.
func rolesManual() string {
	var b bytes.Buffer
	e := &Env{Out: &b}
	if err := e.helpRoles(); err != nil {
		panic(err) // a buffer takes everything
	}
	return ".SH ROLES\n.nf\n" + roffLines(b.String()) + ".fi\n"
}

func yesOrNot(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

const rolesBefore = `Whoever asks over the network shows a certificate, in which the role stands. What the
table does not allow is denied (exit 7).

`

const rolesAfter = `
An operator or a reader may be bound to one tenant (cpctl token create --tenant SLUG). Then
they may do what the last column says, in that tenant, as far as their role may do it;
nothing of other tenants, of the platform's own keys (--global) or of the cluster.

The role node is for members: they speak raft, answer, and pass on what others asked, for
which the one who asked is judged. Whoever may open the socket of a node (root, and the
user that it runs as) is an admin there, and the only one who may export private keys.

A role is given with a token: cpctl token create --role ROLE --name NAME
`
