package credcache

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/zalando/go-keyring"
)

// Vault keeps one small secret for the user: the operating system's keyring, or
// a test's. It is used by one goroutine at a time.
type Vault interface {
	// Get returns what Set was given. Where there is nothing, the error is
	// ErrNoKey; any other means that there is no using this vault.
	Get() (string, error)
	// Set replaces what is kept.
	Set(secret string) error
	// Remove forgets it; ErrNoKey where there is nothing.
	Remove() error
}

// ErrNoKey says that the vault works and holds nothing of ours.
var ErrNoKey = errors.New("the keyring holds no key of ours")

// systemVault is macOS's keychain, Windows' credential manager, or whatever
// implements the Secret Service on the session bus.
type systemVault struct{}

const (
	vaultService = "ekskey"
	vaultUser    = "cache key"
	// vaultWait is how long a keyring may take, which may ask the user for its
	// password first.
	vaultWait = 30 * time.Second
)

func (systemVault) Get() (string, error) {
	return ask(func() (string, error) { return keyring.Get(vaultService, vaultUser) })
}

func (systemVault) Set(secret string) error {
	_, err := ask(func() (string, error) { return "", keyring.Set(vaultService, vaultUser, secret) })
	return err
}

func (systemVault) Remove() error {
	_, err := ask(func() (string, error) { return "", keyring.Delete(vaultService, vaultUser) })
	return err
}

// ask bounds a call that cannot be cancelled. One that never ends keeps a
// goroutine until the process does.
func ask(call func() (string, error)) (string, error) {
	if !hasBus() {
		return "", errors.New("there is no session bus")
	}
	type answer struct {
		secret func() string
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		secret, err := call()
		answers <- answer{func() string { return secret }, err}
	}()
	timer := time.NewTimer(vaultWait)
	defer timer.Stop()
	select {
	case a := <-answers:
		if errors.Is(a.err, keyring.ErrNotFound) {
			return "", ErrNoKey
		}
		return a.secret(), a.err
	case <-timer.C:
		return "", fmt.Errorf("no answer in %v", vaultWait)
	}
}

// hasBus keeps the D-Bus library from starting a bus of its own, which would
// outlive us and have no keyring on it.
func hasBus() bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return true
	}
	// A list of addresses, of which one may say: start a bus.
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return !strings.Contains(address, "autolaunch:")
	}
	_, err := os.Stat("/run/user/" + strconv.Itoa(os.Getuid()) + "/bus")
	return err == nil
}
