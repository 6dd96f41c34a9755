package authproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// maxSocketPath is the limit of every system, in bytes: sun_path has 104 on macOS.
const maxSocketPath = 103

// ErrNoSocket reports that Unix sockets have no owner on this system.
var ErrNoSocket = errors.New("a Unix socket is not protected from other users on this system")

// AddressError reports an address that is not on loopback.
type AddressError struct{ Address string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("%q is not 127.0.0.1 or ::1, and only loopback addresses are allowed", e.Address)
}

// ListenError reports why an address or a socket is not available.
type ListenError struct {
	Address string
	Reason  string
	// Socket is true for a Unix socket.
	Socket bool
	// Taken is true if another program uses it.
	Taken bool
	Err   error
}

func (e *ListenError) Error() string { return "listening on " + e.Address + ": " + e.Reason }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen listens on 127.0.0.1 or ::1. Port 0 selects a free port. It fails with
// *AddressError, before anything is opened, or *ListenError.
func Listen(ctx context.Context, address string, port int) (net.Listener, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip != netip.AddrFrom4([4]byte{127, 0, 0, 1}) && ip != netip.IPv6Loopback() {
		return nil, &AddressError{Address: address}
	}
	at := net.JoinHostPort(address, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if err != nil {
		reason, taken := err.Error(), isTaken(err)
		var op *net.OpError
		if errors.As(err, &op) {
			reason = op.Err.Error()
		}
		if taken {
			reason = "another program listens there"
		}
		return nil, &ListenError{Address: at, Reason: reason, Taken: taken, Err: err}
	}
	return l, nil
}

// socket removes its file when it is closed.
type socket struct {
	net.Listener
	path string
	info fs.FileInfo
}

// Close closes the socket and removes its file, if that is still this one.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) {
		_ = os.Remove(s.path)
	}
	return s.Listener.Close()
}

// ListenSocket listens on a Unix socket that only its owner can open (mode 0600). A
// socket of a dead process is replaced; any other file is not. The directory must
// belong to us, and nobody else may write in it. It fails with *ListenError.
func ListenSocket(ctx context.Context, path string) (net.Listener, error) {
	fail := func(reason string, taken bool, err error) (net.Listener, error) {
		return nil, &ListenError{Address: path, Socket: true, Reason: reason, Taken: taken, Err: err}
	}
	if !socketsHaveOwners {
		return fail(ErrNoSocket.Error(), false, ErrNoSocket)
	}
	if len(path) > maxSocketPath {
		return fail(fmt.Sprintf("its path has more than %d bytes, which is too long for a socket", maxSocketPath), false, nil)
	}
	// Otherwise another user could replace the socket and receive requests.
	folder, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		err = safefile.CheckDir(folder)
	}
	if err != nil {
		return fail(err.Error(), false, err)
	}
	old, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fail(err.Error(), false, err)
	case old.Mode()&fs.ModeSocket == 0:
		return fail("there is something else, and no socket", true, nil)
	default:
		dialing, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if c, err := (&net.Dialer{}).DialContext(dialing, "unix", path); err == nil {
			_ = c.Close()
			return fail("another program listens there", true, nil)
		} else if !isRefused(err) {
			return fail("cannot check whether the existing socket is in use:  "+err.Error(), true, err)
		}
	}
	// Create it in a directory that nobody else can enter until the mode is set.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".ekskey-")
	if err != nil {
		return fail(err.Error(), false, err)
	}
	defer func() { _ = os.Remove(dir) }()
	tmp := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", tmp)
	if err != nil {
		return fail(err.Error(), false, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o600)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fail(err.Error(), false, errors.Join(err, l.Close()))
	}
	return &socket{Listener: l, path: path, info: info}, nil
}
