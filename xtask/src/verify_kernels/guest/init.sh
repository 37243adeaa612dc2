#!/bin/busybox sh
# First process of the guest. Its words are read by guest.rs.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
echo "WEFT-KERNEL $(uname -r)"
if bpftool prog loadall /weft.bpf.o /sys/fs/bpf/weft >/tmp/log 2>&1; then
    for program in /sys/fs/bpf/weft/*; do echo "WEFT-PROGRAM ${program##*/}"; done
    echo WEFT-PASS
else
    tail -n 60 /tmp/log
    echo WEFT-FAIL
fi
poweroff -f
