package kubeclient

import (
	"fmt"
	"io"
	"log/slog"
)

// String names the cluster, and no secret.
func (k *Client) String() string { return "kubeclient.Client{cluster: " + k.cluster + "}" }

// GoString is String, for %#v.
func (k *Client) GoString() string { return k.String() }

// Format is String, for every verb of package fmt.
func (k *Client) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, k.String()) }

// LogValue is String, for log/slog.
func (k *Client) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String names the cluster, and hides the credentials.
func (c Config) String() string {
	return "kubeclient.Config{cluster: " + c.Cluster + ", region: " + c.Region + "}"
}

// GoString hides the credentials from %#v.
func (c Config) GoString() string { return c.String() }

// Format hides the credentials from every verb of package fmt.
func (c Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue hides the credentials from log/slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides the credentials from encoding/json.
func (c Config) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", c.String()), nil }
