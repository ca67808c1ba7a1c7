package cmd

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// input is what create and update take: a document from a file, flags for its
// fields on top of that, and any field by its path.
type input struct {
	env    *Env
	cmd    *cobra.Command
	file   string
	labels []string
	set    []string
	add    []string
	remove []string
	fields []field
}

// field is a flag that stands for a member of the document.
type field struct {
	flag, member string
	value        func() any
}

func newInput(env *Env, cmd *cobra.Command, n *noun) *input {
	in := &input{env: env, cmd: cmd}
	n.fields(in)
	fs := cmd.Flags()
	fs.StringVarP(&in.file, "filename", "f", "", "`FILE` with the document, JSON or YAML; - is stdin")
	fs.StringArrayVar(&in.labels, "label", nil, "`KEY=VALUE` to set, KEY- to remove (repeatable)")
	fs.StringArrayVar(&in.set, "set", nil, "`PATH=VALUE` of any field, JSON or plain text (repeatable)")
	fs.StringArrayVar(&in.add, "add", nil, "`PATH=VALUE` to add to a list (repeatable)")
	fs.StringArrayVar(&in.remove, "remove", nil, "`PATH=VALUE` to take from a list (repeatable)")
	return in
}

func (in *input) text(flag, member, usage string) {
	v := in.cmd.Flags().String(flag, "", usage)
	in.fields = append(in.fields, field{flag, member, func() any { return *v }})
}

func (in *input) list(flag, member, usage string) {
	v := in.cmd.Flags().StringArray(flag, nil, usage)
	in.fields = append(in.fields, field{flag, member, func() any { return *v }})
}

func (in *input) toggle(flag, member, usage string) {
	v := in.cmd.Flags().Bool(flag, false, usage)
	in.fields = append(in.fields, field{flag, member, func() any { return *v }})
}

// choice is a text whose values shells complete; the server knows which hold.
func (in *input) choice(flag, member, usage string, words ...string) {
	in.text(flag, member, usage+": "+strings.Join(words, ", "))
	completeFlag(in.cmd, flag, completeWords(words...))
}

// preset is a flag without a value that gives a member one value.
func (in *input) preset(flag, member, value, usage string) {
	v := in.cmd.Flags().Bool(flag, false, usage)
	in.fields = append(in.fields, field{flag, member, func() any {
		if !*v {
			return nil // --public=false says nothing
		}
		return value
	}})
}

func (in *input) completeList(flag, kind string) {
	completeFlag(in.cmd, flag, completeNames(in.env, kind, 0))
}

// request puts what was given into a request. Source is the document of -f, for
// the errors that point into it; nil without one.
func (in *input) request(req *mutation.Request) (src *source, err error) {
	var patch []rawMember
	if in.file != "" {
		if src, err = in.env.readDocument(in.file); err != nil {
			return nil, err
		}
		if patch, err = members(src.json); err != nil {
			return nil, usagef("%s: the document %v", src.name, err)
		}
	}
	for _, f := range in.fields {
		if !in.cmd.Flags().Changed(f.flag) {
			continue
		}
		v := f.value()
		if v == nil {
			continue
		}
		b, err := encode(v)
		if err != nil {
			return nil, err
		}
		patch = put(patch, f.member, b)
	}
	if patch, err = putLabels(patch, in.labels); err != nil {
		return nil, err
	}
	if req.Set, err = elements("--set", in.set); err != nil {
		return nil, err
	}
	if req.Add, err = elements("--add", in.add); err != nil {
		return nil, err
	}
	if req.Remove, err = elements("--remove", in.remove); err != nil {
		return nil, err
	}
	if len(patch) > 0 {
		req.Patch = object(patch)
	}
	return src, nil
}

// putLabels merges labels into those of the document; null removes one
// (RFC 7396).
func putLabels(patch []rawMember, labels []string) ([]rawMember, error) {
	if len(labels) == 0 {
		return patch, nil
	}
	var have []rawMember
	if raw, ok := lookup(patch, "labels"); ok && string(raw) != "null" {
		var err error
		if have, err = members(raw); err != nil {
			return nil, usagef("labels of the document: %v", err)
		}
	}
	for _, l := range labels {
		key, value, isSet := strings.Cut(l, "=")
		bare, isRemoved := strings.CutSuffix(l, "-")
		switch {
		case isSet && key != "":
			have = put(have, key, quoted(value))
		case !isSet && isRemoved && bare != "":
			have = put(have, bare, json.RawMessage("null"))
		default:
			return nil, usagef("--label %q must be KEY=VALUE, or KEY- to remove it", l)
		}
	}
	return put(patch, "labels", object(have)), nil
}

// elements reads PATH=VALUE. What is JSON counts as that, the rest as text.
func elements(flag string, given []string) ([]store.Element, error) {
	var out []store.Element
	for _, g := range given {
		path, value, ok := strings.Cut(g, "=")
		if !ok || path == "" {
			return nil, usagef("%s %q must be PATH=VALUE", flag, g)
		}
		raw := json.RawMessage(value)
		if !json.Valid(raw) {
			raw = quoted(value)
		}
		out = append(out, store.Element{Path: path, Value: raw})
	}
	return out, nil
}

// selector reads the -l flags of a list.
func selector(given []string) (map[string]string, error) {
	labels := make(map[string]string, len(given))
	for _, g := range given {
		key, value, ok := strings.Cut(g, "=")
		if !ok || key == "" {
			return nil, usagef("-l %q must be KEY=VALUE", g)
		}
		if old, twice := labels[key]; twice && old != value {
			return nil, usagef("-l %s cannot be both %q and %q", key, old, value)
		}
		labels[key] = value
	}
	return labels, nil
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "string" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return errors.New("must be " + strings.Join(c.words, " or "))
	}
	c.value = s
	return nil
}

// tail completes a row of a list: the age on table, all the rest on wide.
func (e *Env) tail(row []string, labels map[string]string, m store.Meta) []string {
	if e.flags.output != formatWide {
		return append(row, e.when(m.CreatedAt))
	}
	return append(row, labelText(labels), strconv.FormatUint(m.Revision, 10),
		e.when(m.CreatedAt), e.when(m.UpdatedAt), m.UpdatedBy)
}

func labelText(labels map[string]string) string {
	all := make([]string, 0, len(labels))
	for k, v := range labels {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
