# English. The keys and their order are those of fr.ftl; a test compares them.

## Frame

skip = Skip to the content
menu = Menu
language = Language
language-set = Choose
logout = Log out
computers = Computers
masters = Masters
sessions = Sessions
about = About
yes = yes
unit-gib = GiB
unit-mib = MiB

## The door

setup-title = First login
setup-intro = The code is shown on the server's terminal when it starts; the command "mimeo setup-code", run as root on the server, shows it too. It works once.
setup-code = Setup code
setup-password-hint = At least { $chars } characters. A whole phrase is easier to remember than a twisted word.
setup-again = The password once more
setup-submit = Make the account and log in
login-title = Login
login-name = Name
login-password = Password
login-submit = Log in
login-forgotten = Forgotten the password? Run "mimeo setup-code --renew" as root on the server, then
login-to-setup = choose another.

## Refusals

refused-title = This is not possible
refused-back = Back
refused-not-logged-in = Log in first.
refused-foreign-page = This request does not come from a page of this server: it was refused.
refused-no-page = There is nothing at this address. The computer, master or session does not exist, or no longer does.
refused-bad-form = Something is missing in this form, or one of its fields cannot be read. Go back and try again.
refused-failed = The server failed at this. Its log says why.
refused-disk-full = The server's disk is full: nothing was kept. Make room there, then try again.
refused-database-locked = Another program holds the server's database. Try again in a moment.
refused-wrong-credentials = The name or the password is wrong.
refused-wrong-setup-code = The code is wrong or was used. "mimeo setup-code", as root on the server, shows the right one.
refused-too-many-attempts = Too many attempts. The next one is possible in { $seconds } seconds.
refused-bad-account-name = The name must have 1 to 64 characters, on one line.
refused-password-too-short = The password has only { $chars } characters: that is too few.
refused-password-too-long = The password is too long.
refused-passwords-differ = The two passwords are not the same.
refused-bad-computer-name = A computer's name has 1 to 63 unaccented letters, digits and hyphens; it neither begins nor ends with a hyphen, and is no number.
refused-computer-name-taken = Another computer is named { $name } already.
refused-bad-master-name = A master's name has 1 to 64 unaccented letters, digits, "-", "_" and "."; it begins with a letter or a digit.
refused-no-such-master = There is no master { $master }.
refused-master-in-use = { $master } is in use: session { $session } waits or runs. Wait for its end, or cancel it.
refused-versions-changed = The master has other versions by now than were shown. Nothing was removed: look again.
refused-bad-disk = This is neither a serial number nor a WWN of a disk.
refused-bad-sector-limit = The number of unreadable sectors that are tolerated lies between 0 and 4096.
refused-disks-changed = The disks of this computer, or the partitions on them, are no longer what was shown. Nothing was ordered: look again.
refused-computer-busy = This computer has a session already that waits or runs. Wait for its end, or cancel it.
refused-session-ended = This session has ended already.
refused-nothing-asked = This session does not wait for this answer, or no longer does.

## Computers

computers-none = No computers yet. Start one from the network (often F12) and choose "Register this computer".
computer-name = Name
computer-model = Model
computer-serial = Serial number
computer-firmware = Firmware
computer-memory = Memory
computer-seen = Last seen
computer-created = Registered
computer-what = What it is
computer-processor = Processor
computer-threads = { $threads } threads
computer-disks = Disks
computer-no-disks = No disk was seen.
computer-nics = Network cards
computer-settings = Settings
computer-loader = Boot loader
computer-keep = Save
computer-no-sessions = No sessions yet.
loader-signed = Signed chain (shim and GRUB) under UEFI, iPXE under BIOS
loader-ipxe = iPXE everywhere, for difficult firmware; without Secure Boot
loader-refused = Secure Boot was on when this computer was last seen, and it refuses iPXE: switch it off in the firmware, or choose the signed chain.
firmware-bios = BIOS
firmware-uefi = UEFI
firmware-uefi-secure = UEFI, Secure Boot on
firmware-uefi-open = UEFI, Secure Boot off
disk-serial = Serial number
disk-transport = Connection
disk-removable = removable
disk-sectors = Sectors (logical / physical, in bytes)
disk-exact = Exact size
disk-bytes = { $bytes } bytes
disk-empty = No partition was seen on this disk.
partition-number = No.
partition-name = Name
partition-filesystem = File system
partition-size = Size
filesystem-unknown = unknown
nic-address = Address
nic-driver = Driver
nic-speed = Speed
nic-booted = Booted
deploy-button = Deploy a master …
capture-button = Capture …

## Order

order-deploy-title = Deploy a master to { $computer }
order-capture-title = Capture { $computer }
order-deploy-intro = Nothing happens yet: the next page shows what would be erased.
order-capture-intro = The disk becomes a new version of the master. It is only read.
order-master = Master and version
order-master-name = Name of the master
order-master-hint = A known name gets a new version, a new name makes a master.
order-next = Go on

## Confirmation

confirm-title = Confirm
confirm-deploy-title = Deploy { $master }?
confirm-capture-title = Capture into { $master }?
confirm-erased = Everything on this disk will be erased.
confirm-read = This disk will be read. Nothing on it is changed.
confirm-deploy-submit = Erase this disk and deploy { $master }
confirm-capture-submit = Read this disk and make { $master }
confirm-choose = Choose this disk
confirm-nameless = This disk has neither a serial number nor a WWN: it can be chosen on the session's page only.
confirm-tolerate = Unreadable sectors tolerated
confirm-tolerate-hint = For a failing disk: the capture goes on past so many sectors that cannot be read, at most 4096. Zeros stand for them, and the master says so.
confirm-no-verify = Do not read everything back
confirm-no-verify-hint = Faster; a disk that does not keep what it is given is not found out then.
confirm-later = Start the session and choose the disk there
confirm-no = Do nothing
confirm-back = Back to the computer
question-title = Which disk?
question-erased = Everything on the disk that you choose will be erased.
question-intro = Several disks could be meant. Nothing happens until one is chosen.

## Sessions

session = Session
sessions-open = Waiting or running
sessions-ended = Ended
sessions-none-open = No session waits or runs.
sessions-none-ended = No session has ended yet.
session-capture = Capture: { $computer } → { $master }
session-deploy = Deploy: { $master } → { $computer }
session-progress = { $percent }%, { $done } of { $total }
session-waits = Start { $computer } from the network: the session begins by itself.
session-asks = Several disks could be meant: choose one.
session-state = State
session-requested = Requested
session-started = Started
session-ended = Ended
session-lasted = Duration
session-facts = Details
session-computer = Computer
session-disk = Disk
session-attempts = Attempts
session-read = Read from the disk
session-written = Written to the disk
session-sent = Sent to the server
session-received = Received from the server
session-unread = Sectors that could not be read
session-phases = Phases
session-phase = Phase
session-attempt = Attempt
session-began = Began
session-failed-in = Failed in phase "{ $phase }".
state-asked = which disk?
state-waiting = waiting
state-running = running
state-succeeded = succeeded
state-failed = failed
state-cancelled = cancelled
cancel-title = Cancel the session …
cancel-capture = The capture stops and has no version. The computer's disk stays as it is.
cancel-deploy = The deploy stops. If writing has begun, the computer does not start from its disk any more until the next deploy.
cancel-submit = Cancel the session

## Masters

masters-none = No masters yet. Capture a computer to make one.
version = Version
version-created = Created
version-disk = Disk
version-carried = Content
version-stored = Added to the store
version-origin = Origin
version-session = session { $session }
version-latest = latest
version-carries = content { $carried }
version-unread = { $sectors } sectors ({ $bytes }) could not be read, zeros stand for them
remove-button = Remove …
remove-title = Remove { $master }?
remove-version-intro = This version can no longer be deployed afterwards, and cannot be brought back. Computers on which it was deployed stay as they are. The other versions of the master are not touched.
remove-master-intro = All versions of this master can no longer be deployed afterwards, and cannot be brought back. Computers on which they were deployed stay as they are.
remove-versions = What is removed
remove-room = The room that nothing else needs is freed later, at the next collection.
remove-submit = Remove { $master } for good
remove-master-button = Remove the whole master …

## DHCP

dhcp-title = DHCP
dhcp-link = Configuration for another DHCP server
dhcp-mode-proxy = This server says what to boot and gives no addresses (mode "proxy").
dhcp-mode-pxe = This server says what to boot and gives addresses to booting firmware only (mode "pxe").
dhcp-mode-full = This server is the network's DHCP server (mode "full"): no other needs to be told anything.
dhcp-mode-off = DHCP is off here (mode "off"): machines boot only if another DHCP server sends them here.
dhcp-intro = A DHCP server that names this one lets every machine boot, Secure Boot included. Write what stands under its name into its configuration. On the command line: mimeo dhcp-snippets.

## About

about-started = Running since
about-authority = Certificate of the authority
about-authority-intro = Install it on the computers that you administer from: their browsers then recognise this server.
about-authority-download = Download mimeo-ca.pem
about-key = Key of the masters
about-key-intro = What is captured here is signed by a key with this fingerprint. An appliance that takes a copy in for the first time asks for it:
about-artefacts = What computers boot
about-artefacts-intro = Each file comes from a Debian package, unchanged and verified, or from Mimeo itself.
artefact-name = File
artefact-package = Package
artefact-size = Size
