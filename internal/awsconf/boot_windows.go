package awsconf

import (
	"strconv"

	"golang.org/x/sys/windows/registry"
)

// bootID changes with each start of the computer: Windows counts them.
func bootID() (string, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE,
		`SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters`, registry.QUERY_VALUE)
	if err != nil {
		return "", err
	}
	defer k.Close()
	id, _, err := k.GetIntegerValue("BootId")
	return strconv.FormatUint(id, 10), err
}
