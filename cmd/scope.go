package cmd

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

var scopes = &noun{
	kind: "scope", plural: "scopes", arg: "NAME", member: "name",
	example: `orders:read -t acme --display-name "Read orders" --claim orders_tier`,
	create:  mutation.OpScopeCreate, update: mutation.OpScopeUpdate, delete: mutation.OpScopeDelete,
	fields: func(in *input) {
		in.text("display-name", "display_name", "name to show")
		in.text("description", "description", "what it allows, for people")
		in.list("claim", "claims", "`CLAIM` that it puts into tokens (repeatable)")
		in.list("depends-on", "depends_on", "`SCOPE` that it needs (repeatable)")
		in.toggle("default", "default", "granted when a client asks for no scope")
		in.choice("consent", "consent", "whether users are asked", "required", "implicit", "never")
		in.completeList("depends-on", "scope")
	},
	table: scopeTable,
	erase: detachMode,
}

func newScope(env *Env) *cobra.Command {
	return nounCommand(env, scopes, "Scopes: what a client may ask for")
}

// detachMode adds --mode: whether a scope in use is left, or taken from its users.
func detachMode(cmd *cobra.Command) func(*mutation.Request) {
	mode := &choice{value: "restrict", words: []string{"restrict", "detach"}}
	cmd.Flags().Var(mode, "mode", "a scope in use: `MODE` restrict refuses, detach takes it from its users")
	completeFlag(cmd, "mode", completeWords(mode.words...))
	return func(req *mutation.Request) { req.Detach = mode.value == "detach" }
}

func scopeTable(e *Env, items []json.RawMessage) (table, error) {
	t := table{titles: []string{"NAME", "SYSTEM", "DEFAULT", "CONSENT", "CLAIMS>", "AGE>"}}
	if e.flags.output == formatWide {
		t.titles = []string{"NAME", "SYSTEM", "DEFAULT", "CONSENT", "CLAIMS>", "LABELS", "REVISION>", "CREATED", "UPDATED", "BY"}
	}
	for _, item := range items {
		var d store.Scope
		if err := json.Unmarshal(item, &d); err != nil {
			return t, err
		}
		row := []string{d.Name, yesNo(d.System), yesNo(d.Default), d.Consent, strconv.Itoa(len(d.Claims))}
		t.rows = append(t.rows, e.tail(row, d.Labels, d.Meta))
	}
	return t, nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
