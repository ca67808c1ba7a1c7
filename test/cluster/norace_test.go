//go:build !race

package cluster

const patient = 4
