package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/cpctl/cpctl/pkg/store"
)

// suggest adds to a "not found" the nearest name there is, if the node has it
// at hand, and where to look. What is missing is the object or its tenant.
func suggest(ctx context.Context, c reader, ref store.Ref, err error) error {
	var typed *store.Error
	if !errors.As(err, &typed) || typed.Code != store.CodeNotFound || typed.Hint != "" {
		return err
	}
	tenant := store.NotFound(store.Ref{Kind: "tenant", Tenant: ref.Tenant, Name: ref.Tenant})
	if typed.Message == tenant.Message {
		ref = store.Ref{Kind: "tenant", Name: ref.Tenant}
	}
	see, in := fmt.Sprintf("see: cpctl %s list", ref.Kind), ""
	switch ref.Kind {
	case "tenant":
	case "client", "scope":
		see, in = see+" -t "+ref.Tenant, ref.Tenant
	default: // keys have no names that one mistypes
		return err
	}
	names, lerr := siblings(ctx, c, ref.Kind, in)
	if lerr != nil {
		return typed.WithHint("%s", see)
	}
	if near := store.Suggest(ref.Name, names); near != "" && near != ref.Name { // it may have come just now
		return typed.WithHint("did you mean %q? %s", near, see)
	}
	return typed.WithHint("%s", see)
}
