# English. The keys and their order are those of fr.ftl; a test compares them.

## Tables

column-id = ID
column-name = NAME
column-model = MODEL
column-serial = SERIAL
column-firmware = FIRMWARE
column-memory = MEMORY
column-seen = SEEN
column-master = MASTER
column-disk = DISK
column-content = CONTENT
column-stored = STORED
column-captured = CAPTURED
column-computer = COMPUTER
column-does = DOES
column-state = STATE
column-time = TIME
column-requested = REQUESTED
column-attempt = ATTEMPT
column-phase = PHASE
column-read = READ
column-written = WRITTEN
column-sent = SENT
column-received = RECEIVED
column-token = TOKEN
column-made = MADE
column-file = FILE
column-package = PACKAGE
column-version = VERSION
column-size = SIZE
column-hash = BLAKE3
column-new = NEW
column-shared = SHARED
column-freed-if-removed = FREED IF REMOVED
column-ratio = RATIO
column-partition = PARTITION
column-used = USED
column-provenance = FROM
none-computers = There are no computers yet: start one from the network and choose "register this computer".
none-masters = There are no masters yet: make one with "mimeo capture COMPUTER --name NAME".
masters-warning = { $versions }: { $warning }
none-sessions = There are no sessions. Begin one with "mimeo capture" or "mimeo deploy".
none-phases = It has not begun.
none-notices = Nothing is known to keep a machine from booting.
none-tokens = There are no tokens: make one with "mimeo token create NAME".
none-artefacts = There is nothing to boot from.
ago-now = just now
ago-minutes = { $number } min ago
ago-hours = { $number } h ago
ago-days = { $number } days ago

## Computers

fact-name = name
fact-maker = maker
fact-model = model
fact-serial = serial
fact-firmware = firmware
fact-loader = loader
fact-processor = processor
fact-memory = memory
fact-seen = seen
fact-network = network
fact-disk = disk
fact-threads = { $model }, { $threads } threads
fact-no-driver = no driver
loader-refused = ipxe, which Secure Boot refuses: switch it off in this computer's firmware
disk-nameless = disk
disk-serial = serial { $serial }
disk-wwn = WWN { $wwn }
disk-removable = removable
disk-no-partitions = no partitions
disk-unknown-content = unknown content

## Sessions

session-line = Session { $id }: { $computer }, { $does }: { $state }
session-unread = { $sectors } sectors in use could not be read: zeros stand for them.
session-disk = Disk: { $disk }.
session-question = { $computer } has several disks. Which one does session { $id } mean?
session-answer-with = Answer with: mimeo answer { $id } NUMBER
session-uses = Session { $id } uses { $disk }.
session-cancelled = Session { $id } is cancelled. A disk that was being written does not boot any more.
session-watch = No session waits or runs. Those that begin show here; Ctrl-C ends this.
does-capture = capture to { $master }
does-deploy = deploy { $master }
state-asked = waiting: which disk?
state-waiting = waiting for the computer to start from the network
state-running = running
state-succeeded = succeeded
state-failed = failed
state-failed-in = failed in phase "{ $phase }": { $reason }
state-cancelled = cancelled

## Questions

ask-erase = This will erase:
ask-type = Type "{ $word }" to erase and deploy:
ask-yes = yes
ask-nobody = nobody is at the terminal to confirm this: give --yes if all of it may be erased
ask-nothing-done = nothing was done
ask-disks = { $computer } has several disks:
ask-disk-read = Which one is to be read? Type its number, serial number or WWN:
ask-disk-erase = Which one is to be erased? Type its number, serial number or WWN:
ask-no-such-disk = None of these disks is { $typed }.
ask-several = { $computer } has several disks, say which with --disk:

## Ways in

about-started = started { $when }
about-signs = What is captured here is signed by a key with the fingerprint { $fingerprint }.
token-shown-once = This token is shown only now. Whoever has it may do everything.
token-deleted = Token { $name } opens nothing any more.
setup-done = The administrator's password is set. To set a forgotten one again: mimeo setup-code --renew

## Errors

error-not-running = no server runs on this machine (no { $socket }): start it with "mimeo serve", or name another with --url
error-not-allowed = only root may use { $socket }: run this as root, or use --url with an API token
error-unreachable = the server at { $place } cannot be reached ({ $error })
error-unreadable = { $path } cannot be read ({ $error })
error-no-certificate = { $path } holds no certificate ({ $error }): download it from { $address }
error-bad-url = expected an address such as { $example }, found { $found }
error-no-token = an API token is needed with --url: make one with "mimeo token create NAME" on the server, then set MIMEO_TOKEN
error-not-understood = the server answered what this program does not understand: are both of one version? ({ $error })
error-needs-no-server = this command needs no server
error-sessions-failed = { $failed } of { $all } sessions did not succeed
error-no-question = session { $id } has no question open
error-no-such-disk = no disk in question is { $typed }:
error-several-such-disks = several disks in question are { $typed }, give the number in the list
error-config-unreadable = the configuration { $file } cannot be read ({ $error })
error-config-syntax = { $file } is no TOML: { $error }
error-config-unknown-key = { $file }: unknown key { $key }, did you mean { $nearest }?
error-config-bad-value = { $file }: { $key } = { $value } is not allowed, expected { $allowed }
error-config-missing-key = { $file }: { $key } is needed ({ $needed })

## What the server refuses

refused-computer = there is no computer { $name }: "mimeo computers" names them
refused-master = there is no master { $name }: "mimeo masters" names them
refused-session = there is no session { $name }: "mimeo sessions" names them
refused-token = there is no token named { $name }: "mimeo token list" names them
refused-computer-name = { $name } cannot be a computer's name: it has 1 to 63 unaccented letters, digits and hyphens, neither begins nor ends with a hyphen, and is no number
refused-name-taken = another computer is named { $name } already
refused-token-exists = there is a token named { $name } already
refused-token-name = a token's name has 1 to 64 characters, on one line
refused-master-name = { $name } cannot name a master: it has 1 to 64 unaccented letters, digits, "-", "_" and ".", and begins with a letter or a digit; a version follows as in NAME@3
refused-disk = this is neither a serial number nor a WWN of a disk
refused-disks-changed = the disks of the computer, or the partitions on them, are not as they were shown: look again
refused-busy = the computer has a session already that waits or runs: wait for its end ("mimeo sessions --watch"), or cancel it
refused-ended = the session has ended already
refused-not-asked = the session does not wait for this answer, or no longer does
refused-unknown-token = the server does not know this API token: make one with "mimeo token create NAME" on the server, then set MIMEO_TOKEN
refused-local-only = this is done only by root on the server itself
refused-no-library = there is no library of masters in { $name }: "mimeo masters copy" on another appliance makes one
refused-not-empty = { $name } is neither empty nor a library: name another folder
refused-library-in-use = another program uses { $name } now: wait for its end, or stop it
refused-not-genuine = { $name } there is not what its library signed: nothing is taken in. Copy it there once more, and look who had the disk meanwhile.
refused-another-name = { $name } there was signed under another name: nothing is taken in. Copy it there once more, and look who had the disk meanwhile.
refused-failed = the server failed at this, its log says why
refused-disk-full = the server's disk is full and nothing was kept: make room there, then try again
refused-database-locked = another program holds the server's database: try again in a moment

## Doctor

doctor-ok = ok
doctor-warn = WARN
doctor-fail = FAIL
doctor-configuration = configuration
doctor-clock = clock
doctor-artefacts = artefacts
doctor-database = database
doctor-store = store
doctor-interface = interface
doctor-ports = ports
doctor-dhcp = DHCP
doctor-notices = machines
doctor-configuration-ok = every key is understood
doctor-clock-ok = plausible
doctor-clock-behind = the clock is years behind: set it, or no certificate is valid (timedatectl)
doctor-artefacts-ok = { $count } files are whole, from { $packages }
doctor-artefacts-bad = { $error }: build them with "make artefacts"
doctor-database-none = none yet, the first start makes it
doctor-database-ok = sound
doctor-database-bad = { $complaints }: stop the server and restore the last backup
doctor-database-failed = the database cannot be looked at: { $error }
doctor-store-nowhere = { $path } leads nowhere, correct [store] path
doctor-store-failed = { $path }: { $error }
doctor-store-read-only = { $path } is mounted read-only
doctor-store-full = only { $free } are free at { $path }, captures stop: make room
doctor-store-low = only { $free } are free at { $path }
doctor-store-ok = { $free } are free at { $path }
doctor-interface-ok = { $name } is up with { $address }
doctor-interface-unlisted = the network interfaces cannot be listed ({ $error })
doctor-interface-missing = there is no network interface { $name }, there are: { $there_are }
doctor-interface-down = network interface { $name } is down, bring it up with: ip link set { $name } up
doctor-interface-no-address = network interface { $name } has no IPv4 address, give it one, e.g. ip address add 192.168.77.1/24 dev { $name }
doctor-interface-other-address = network interface { $name } has no address { $address }, correct [network] address
doctor-interface-none = no network interface is up with an IPv4 address, name one as [network] interface and give it an address
doctor-interface-several = several network interfaces could be meant ({ $names }), name one as [network] interface or with --interface
doctor-ports-running = a server runs here and has them
doctor-port-free = { $protocol } { $port } is free
doctor-port-in-use = { $protocol } port { $port } of { $address } is used by another program: stop it ({ $command } names it), or change { $key } in the configuration
doctor-port-not-allowed = { $protocol } port { $port } needs root: run this as root, or as a service with CAP_NET_BIND_SERVICE
doctor-notices-unasked = what keeps machines from booting is not known: { $error }
doctor-port-failed = { $protocol } port { $port } of { $address } cannot be opened ({ $error })

## The store

store-whole = whole
store-without-manifest = its manifest is lost
store-lost-chunks = { $number } chunks are lost
store-holds = { $bytes } in { $packs } packs, { $chunks } chunks; versions need { $needed }.
store-ratio = All versions together hold { $content }: { $ratio } times that.
store-free = { $free } are free on the store's disk.
store-is-damaged = { $chunks } chunks are damaged and { $packs } packs cannot be read: "mimeo store verify" names the versions.
store-damaged = the store is damaged; versions that cannot be deployed any more: { $versions }
store-read-back = { $bytes } read back, { $chunks } chunks are sound.
store-rewritten-packs = { $number } packs had lost the list of their chunks and were written anew: no content is lost, but the disk may be failing.
store-unreadable-pack = Pack { $pack } cannot be read: { $reason }
store-damaged-chunk = Chunk { $chunk } is damaged in pack { $pack }: { $reason }
store-more-damaged = { $number } more chunks are damaged.
store-version-lacks = { $version } lacks { $number } chunks, the first of them { $first }: capture a computer that has it again, or remove it.
store-version-nameless = { $version } has lost its manifest: capture a computer that has it again, or remove it.
store-freed = { $bytes } freed: of packs, { $removed } removed and { $rewritten } rewritten; of manifests, { $manifests } removed.
store-would-free = { $bytes } would be freed: of packs, { $removed } would be removed and { $rewritten } rewritten; of manifests, { $manifests } would be removed.
store-needed-is-lost = { $number } chunks that versions need are lost: "mimeo store verify" names the versions.
store-out-of-room = More could be freed, but the disk has no room to copy what is needed of it.
store-given-up = the server gave this up, its log says why

## Removing a version

remove-what = This will remove for good:
remove-version = { $version }, captured { $ago }, { $content } of content
remove-nobody = nobody is at the terminal to confirm this: give --yes if all of it may be removed
remove-type = Type { $name } to remove it:
remove-nothing = nothing was removed
remove-done = { $version } is removed.
remove-freed-later = What only this needed in the store is freed by the next collection: "mimeo store gc" runs one now.

## Images on this machine

version-unread = { $version } lacks { $sectors } sectors ({ $bytes }) that were in use and could not be read: zeros stand for them.
image-none = There is nothing here yet: make a version with "mimeo image capture".
image-no-library = there is no library of masters in { $folder }: "mimeo image capture" makes one
image-no-version = the capture ended without a version
image-interrupted = interrupted, nothing was made
image-interrupted-erased = interrupted: what the target held is erased, and what is there now is nothing whole; restore again
image-not-empty = { $folder } is neither empty nor a library: name another folder
image-in-use = another program uses { $folder } now: wait for its end, or stop it
image-inside-library = { $target } lies in the library itself: name a target elsewhere
image-captured = { $version }: { $read } read, { $stored } added to the store, { $seconds } s.
image-restored = { $version } is on { $target }: { $written } written, { $seconds } s.
image-verifies = Reading back
image-verified = { $version }: { $sound } chunks are sound.
image-damaged = { $version } cannot be restored: { $number } chunks are damaged or missing
image-info = { $version }, a disk of { $disk }, sectors of { $sector } bytes, table: { $table }, manifest { $root }
image-provenance = From { $library }, whose key has the fingerprint { $fingerprint }; there it is { $version }.
image-raw = raw
image-raw-found = { $found }, byte by byte

## Images for other programs

export-to-terminal = the image would go to the terminal: send the standard output elsewhere, or name a file
export-to-device = { $file } is a device: "mimeo image restore" writes a version to one
export-file-exists = there is something at { $file } already: name another file, or remove that one first
export-busy = another export writes { $file } now: wait for its end
export-no-partition = { $version } has no partition { $number }; it has: { $others }
export-not-written = { $file } cannot be written at byte { $offset } of the image ({ $detail }); what was written of it is removed
export-done = { $version } is in { $file }: an image of { $size }, of which { $content } have content, { $seconds } s.

## Versions on their way to another appliance

carry-copies = Copying { $version }
carry-reads-back = Reading { $version } back
carry-copied = { $version } is in { $folder } as { $copy }: { $stored } written.
carry-taken = { $version } is taken in as { $copy }: { $stored } written.
carry-already = { $version } is there already, as { $copy }.
carry-signed = Signed by { $library }, fingerprint { $fingerprint }: the appliance that takes this in for the first time asks for it.
carry-untrusted = { $folder } holds versions of { $library }, whose key has the fingerprint { $fingerprint }. Nobody has said here that it is trusted: compare it with the one that was shown there when they were copied.
carry-trust = Type "{ $word }" if both are the same, to trust that key from now on:
carry-nobody = Nobody is at the terminal to say so: once compared, "--trust { $fingerprint }" does.
carry-not-genuine = { $version } in { $folder } is not what { $library } signed: nothing is taken in. Copy it there once more, and look who had the disk meanwhile.
carry-another-name = { $version } in { $folder } was signed as { $signed }: nothing is taken in. Copy it there once more, and look who had the disk meanwhile.
carry-interrupted = interrupted: no version is half there, and the same command goes on with what is still missing
