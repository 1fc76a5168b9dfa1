# English. The keys and their order are those of fr.ftl; a test compares them.

disk-with-serial = { $model }, serial number { $serial }, { $size }
disk-without-serial = { $model }, without serial number, { $size }

phase-prepare = Prepare
phase-read = Read the disk
phase-partition = Clear the disk
phase-write = Write
phase-verify = Verify
phase-grow = Grow file systems
phase-personalise = Personalise
phase-finish = Finish

failure-disk-missing = The disk that was chosen is not in this computer ({ $disk }). Check its cable, or start the session again and choose another disk.
failure-disk-none = This computer has no disk that could be meant: removable disks and disks on USB are never used. Check that its disk is plugged in and that its driver is there, then start the computer from the network again.
failure-disk-unknown = This computer has no disk with the serial number or WWN { $serial }; removable disks and disks on USB are never used. Look at the disks in the computer's page, or check the cable of this one and start the computer from the network again.
failure-disk-ambiguous = { $found } disks answer to the description of the one that was chosen ({ $disk }). Unplug the others, or start the session again and choose one by its serial number.
failure-disk-too-small = The disk is too small: the master needs { $needed } ({ $needed_bytes } bytes), the disk has { $actual } ({ $actual_bytes } bytes). Use a larger disk or a smaller master. Nothing was written.
failure-sector-size = The master was captured from a disk with sectors of { $master } bytes, this disk has sectors of { $target } bytes. Use a disk with sectors of { $master } bytes. Nothing was written.
failure-disk-busy = The disk is in use by { $holder }. Restart the computer and try again.
failure-source-table = The partition table of the disk cannot be read ({ $detail }). Repair the disk, then capture it again.
source-partition = partition { $partition }
source-disk = the disk
source-of-partition = partition { $partition }
source-of-disk = the disk
source-in-volume = { $filesystem } in the volume { $volume }
failure-hibernated = Windows sleeps on { $place } ({ $filesystem }): hibernation or "fast startup" is on. Start Windows, run "powercfg /h off", shut it down, then capture again.
failure-hibernated-linux = Linux sleeps: { $place } ({ $filesystem }) holds the memory of a running system. Start it, shut it down instead of hibernating it, then capture again.
failure-dirty = The file system of { $of } ({ $filesystem }) was not closed properly. Start the system on it, let it check its disk ("chkdsk /f" under Windows), shut it down, then capture again.
failure-journal = The file system of { $of } ({ $filesystem }) was not closed properly: changes wait in its journal. Start the system on it, shut it down properly, then capture again.
failure-journal-elsewhere = The file system of { $of } ({ $filesystem }) keeps its journal on another device, and could not be mounted without it. Move the journal inside: with it unmounted, run "tune2fs -O ^has_journal" and then "tune2fs -j" on it, then capture again.
failure-journal-stays-elsewhere = The file system of { $of } ({ $filesystem }) keeps its journal on another device, and could not be mounted without it. Save its files, make the file system anew with a journal of its own, put the files back, then capture again.
failure-files-elsewhere = The file system of { $of } ({ $filesystem }) keeps part of its files on another device, without which they would be lost. Save its files, make the file system anew on { $place } alone, put the files back, then capture again.
failure-several-devices = The file system of { $of } ({ $filesystem }) also lies on other disks or partitions, without which it cannot be mounted. Bring it onto { $place } alone: with it mounted, run "btrfs balance start -f -dconvert=single -mconvert=dup" and then "btrfs device remove" for every other device, then capture again.
failure-group-elsewhere = The LVM volume group { $group }, to which { $place } belongs, has parts that lie on other disks or are missing: as it is here, it cannot be used. Bring the group onto this disk: run "pvmove" and then "vgreduce { $group }" for each physical volume elsewhere, or "vgreduce --removemissing { $group }" for one that is gone for good, then capture again.
failure-group-nameless = The LVM volume group to which { $place } belongs has its description on another disk: as it is here, it cannot be used. Bring the group onto this disk: run "pvmove" and then "vgreduce" for each physical volume elsewhere, then capture again.
failure-source-damaged = The file system of { $of } ({ $filesystem }) contradicts itself: { $detail }. Check it with its own tool, then capture again.
failure-read = The disk cannot be read at byte { $offset } ({ $detail }). Replace the disk or save what is left on it.
failure-unreadable = The source disk cannot be read at byte { $offset } ({ $detail }). Replace the disk, or have the capture go on past what cannot be read: with --tolerate-bad-sectors N, or "Unreadable sectors tolerated" on the page, up to N sectors become zeros, and the master says so wherever it is shown.
failure-unreadable-more = The source disk has more unreadable sectors in use than the { $tolerated } that were tolerated: { $found } were found, the first at byte { $offset } ({ $detail }). Replace the disk, or allow for more: --tolerate-bad-sectors N, or "Unreadable sectors tolerated" on the page.
failure-write = The disk cannot be written at byte { $offset } ({ $detail }). Replace the disk, then deploy again.
failure-verify = The disk gave back other bytes than were written, at byte { $offset } (chunk { $chunk }). Replace the disk, then deploy again.
failure-chunk-damaged = The store of the server holds a damaged piece, chunk { $chunk } ({ $detail }). Capture this master again, and check the server's disk.
failure-chunk-missing = The store of the server lacks a piece of this master, chunk { $chunk }. Capture this master again, and check the server's disk.
failure-manifest = The description of the master was refused: { $detail }. Restart the computer from the network; if that does not help, capture the master again.
failure-store-full = The disk of the server is full ({ $detail }). Make room there, then capture again. The other masters are sound.
failure-store = The store of the server cannot be used ({ $detail }). See the server's log.
failure-server-lost = The server did not answer for too long ({ $detail }). Check the network and the server, then restart this computer from the network.
failure-client-lost = The computer stopped answering in { $attempts } attempts. Check its power and its network cable, then start the session again.
failure-client-silent = The computer started Mimeo's client { $boots } times in a row without reporting to the server. Its screen says why each time: read it there (network card without a driver, no address, server not trusted), then start the session again.
failure-tool = The program { $name } failed: { $detail }.
failure-internal = Mimeo made a mistake: { $detail }. Please report it with the log of this session.

report-taken-over = Took over { $kept } of { $carried } that were in place, fetched { $received }, wrote { $written }.
report-partly-compared = Took over { $kept } of { $carried } that were in place; to compare the rest would have taken longer than to write it. Fetched { $received }, wrote { $written }.
report-in-full = Wrote all of its { $carried }, fetched { $received }.
report-verified = Reading everything back and comparing it took { $time }, { $percent } % of it all.
report-not-verified = Nothing was read back, as was asked: every chunk was proved before it was written and the disk reported all of it as kept, but whether that is so was not looked at.
warning-place-partition = Partition { $partition }
warning-place-disk = The whole disk
warning-place-volume = { $place }, volume { $volume }
warning-luks = { $place }: encrypted with LUKS. It is carried byte by byte, its free space included, and every computer that it is deployed to has the same key: whoever opens one opens all. Encrypt each anew after the deploy ("cryptsetup reencrypt").
warning-bitlocker = { $place }: encrypted with BitLocker. It is carried byte by byte, its free space included, and every computer that it is deployed to has the same key. A volume that is sealed to a TPM asks for its recovery key on another computer: suspend BitLocker or switch it off, then capture again.
warning-raid-member = { $place }: one member of a Linux RAID, carried byte by byte. Where it is deployed, the array has to be assembled from this member alone: it starts degraded, or does not start. Capture a disk that is no member of an array instead.

dhcp-off = DHCP is off: machines boot only if another DHCP server sends them here.
dhcp-cannot-listen = Listening on { $interface } is not possible ({ $error }). Run this as root.
dhcp-nobody-answered = No other DHCP server answers.
dhcp-another-boot-service = { $server } tells machines to boot from elsewhere (server { $next_server }, file { $file }): two boot services on one network take machines from each other.
dhcp-names-us = { $server } gives addresses and names this server to boot from: every machine can boot.
dhcp-gives-addresses = { $server } gives addresses and does not name this server: machines with Secure Boot need an address from here.
dhcp-advice-proxy = Set [dhcp] mode = "proxy" in the configuration.
dhcp-advice-pxe = Set [dhcp] mode = "pxe" and a pool of free addresses in the configuration, or tell that server to name this one: "mimeo dhcp-snippets" prints what to write there.
dhcp-advice-full = Set [dhcp] mode = "full" and a pool in the configuration, unless the DHCP server is only off for now.
dhcp-advice-off = Stop the other boot service, or set [dhcp] mode = "off" in the configuration.
dhcp-obstacle-nobody = no DHCP server was heard, so none is known to name this server to boot from
dhcp-obstacle-names-nobody = the DHCP server { $server } names no server to boot from
dhcp-obstacle-names-another = the DHCP server { $server } names { $next_server } to boot from
notice-secure-boot-proxy = { $mac } was given iPXE and did not start it. With Secure Boot on it cannot boot from here: { $reason }. Set [dhcp] mode = "pxe" and a pool of free addresses, or have the DHCP server name this server as next-server ("mimeo dhcp-snippets" prints its configuration).
notice-secure-boot-pxe = { $mac } took the address of another DHCP server instead of ours, was given iPXE and did not start it. With Secure Boot on it cannot boot so: { $reason }. Start it once more: it is then offered an address of ours again. If that does not help, have the DHCP server name this server as next-server ("mimeo dhcp-snippets" prints its configuration).
notice-pool-exhausted = All { $addresses } addresses of the pool were in use when a machine asked for one. Enlarge [dhcp] pool, or start fewer machines at once.

console-drivers = Loading drivers...
console-no-card = No network card has appeared yet...
console-no-link = Waiting for a link on { $cards }. Is the cable plugged in at both ends?
console-network = Asking for an address through { $card }...
console-reaching = { $card } has the address { $address }. Connecting to the server...
console-payload = Fetching storage drivers and tools...
console-inventory = Looking at this computer...
console-hello = Talking with the server...
console-waiting = This computer is ready and waits for orders.
console-waiting-hint = Choose it in Mimeo's page, { $page }, to capture its disk or to deploy a master to it.
console-question-capture = This computer has several disks. Which one becomes the master { $master }? Nothing happens until one is chosen.
console-question-deploy = This computer has several disks. On which one is the master { $master } written? What stands on it is erased. Nothing happens until one is chosen.
console-question-page = Answer in Mimeo's page: { $page }
console-question-command = or on the server:       mimeo answer { $session } NUMBER
console-question-no-partitions = no partitions seen
console-question-more = The first { $shown } of { $count }; the page shows all of them:
console-capture = This computer's disk becomes the master { $master }
console-deploy = The master { $master } is written to this computer
console-source = Source, which is only read: { $disk }
console-target = Target, whose content is erased: { $disk }
console-done = { $done } of { $total }
console-rate = { $rate }, { $left } left
console-kept = In place already, and left: { $kept }
console-traffic = Received { $received }, sent { $sent }
console-stopped = The server ended this session.
console-stopped-hint = Mimeo's page says why. If writing had begun, this computer does not start from its disk until the next deploy. It asks for new orders in a moment, and restarts where there are none.
console-failed = The session failed in phase "{ $phase }".
console-stuck = This computer cannot go on.
console-restarts-in = It restarts in { $time }.
console-reboot = The computer restarts.
console-power-off = The computer switches off.
console-silence = The server has not answered for { $time }. Trying again: check the cable and the server.
console-died = Mimeo's program ended unexpectedly ({ $reason }). If this comes again, report it; where memory ran out, the computer needs more of it.

trouble-not-our-boot = This computer was not started by Mimeo's boot menu ({ $detail }). Start it from the network again; if this comes again, run "mimeo doctor" on the server.
trouble-no-card = No network card of this computer works here. Use another card or a USB adapter, and start from it.
trouble-no-link = No network card has a link ({ $cards }). Check the cable and the switch.
trouble-no-address = No DHCP server gives an address ({ $attempts }). Check where the cable leads to, and that the DHCP server has addresses left.
trouble-server-silent = The server { $server } does not answer ({ $detail }). Check that Mimeo runs, and that this network leads to it.
trouble-payload = The server sent something else than it announced ({ $detail }). If this comes again, start Mimeo again on the server.
trouble-not-let-in = The server does not let this computer in ({ $detail }). It tries again from the beginning.
trouble-defect = Mimeo made a mistake: { $detail }. Please report it with this computer's log.
