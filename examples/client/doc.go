// Package client holds programs that show how to use package kubeclient, each in a
// directory of its own, and the tests that run them.
package client
