package readme_test

import (
	"context"

	"github.com/cpctl/cpctl/pkg/reader"
)

// scopesOf reads a client and the scopes that it may ask for, as they were at
// one moment: the function is called again when the files change under it.
func scopesOf(files *reader.Reader, tenant, id string) (client *reader.Client, scopes []*reader.Scope, err error) {
	_, err = files.View(func(v *reader.View) (err error) {
		if client, err = v.Client(tenant, id); err != nil {
			return err // reader.ErrNotFound, perhaps
		}
		scopes = nil
		for _, name := range client.Scopes {
			s, err := v.Scope(tenant, name)
			if err != nil {
				return err
			}
			scopes = append(scopes, s)
		}
		return nil
	})
	return client, scopes, err
}

// follow calls load now and after every change, until the context ends.
func follow(ctx context.Context, files *reader.Reader, load func(*reader.View) error) error {
	for {
		moment, err := files.View(load)
		if err != nil {
			return err
		}
		if _, err := files.Changed(ctx, moment); err != nil {
			return err
		}
	}
}
