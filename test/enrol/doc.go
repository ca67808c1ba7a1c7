// Package enrol proves how newcomers get into a cluster over the network, with
// processes of cpctl on addresses of their own: nothing but a token is carried
// from one to the other. There is nothing in it but tests; package live has the
// processes.
package enrol
