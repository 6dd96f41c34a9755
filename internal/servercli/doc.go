// Package servercli is the command line of ekskey-server: its configuration, its
// serving certificate, and the listener around the webhook.
package servercli
