# Français. Les clés et leur ordre sont ceux de en.ftl ; un test les compare.

## Tableaux

column-id = ID
column-name = NOM
column-model = MODÈLE
column-serial = N° DE SÉRIE
column-firmware = MICROLOGICIEL
column-memory = MÉMOIRE
column-seen = VU
column-master = MASTER
column-disk = DISQUE
column-content = CONTENU
column-stored = STOCKÉ
column-captured = CAPTURÉ
column-computer = ORDINATEUR
column-does = TRAVAIL
column-state = ÉTAT
column-time = DURÉE
column-requested = DEMANDÉE
column-attempt = ESSAI
column-phase = PHASE
column-read = LU
column-written = ÉCRIT
column-sent = ENVOYÉ
column-received = REÇU
column-token = JETON
column-made = CRÉÉ
column-file = FICHIER
column-package = PAQUET
column-version = VERSION
column-size = TAILLE
column-hash = BLAKE3
column-new = NOUVEAU
column-shared = PARTAGÉ
column-freed-if-removed = LIBÉRÉ SI SUPPRIMÉ
column-ratio = RAPPORT
column-partition = PARTITION
column-used = UTILISÉ
column-provenance = PROVENANCE
none-computers = Aucun ordinateur encore : démarrez-en un sur le réseau et choisissez « Enregistrer cet ordinateur ».
none-masters = Aucun master encore : créez-en un avec « mimeo capture ORDINATEUR --name NOM ».
masters-warning = { $versions } : { $warning }
none-sessions = Aucune session. Commencez-en une avec « mimeo capture » ou « mimeo deploy ».
none-phases = Elle n'a pas commencé.
none-notices = Rien ne semble empêcher une machine de démarrer.
none-tokens = Aucun jeton : créez-en un avec « mimeo token create NOM ».
none-artefacts = Il n'y a rien à démarrer.
ago-now = à l'instant
ago-minutes = il y a { $number } min
ago-hours = il y a { $number } h
ago-days = il y a { $number } jours

## Ordinateurs

fact-name = nom
fact-maker = fabricant
fact-model = modèle
fact-serial = n° de série
fact-firmware = micrologiciel
fact-loader = chargeur
fact-processor = processeur
fact-memory = mémoire
fact-seen = vu
fact-network = réseau
fact-disk = disque
fact-threads = { $model }, { $threads } fils d'exécution
fact-no-driver = sans pilote
loader-refused = ipxe, que Secure Boot refuse : désactivez-le dans le micrologiciel de cet ordinateur
disk-nameless = disque
disk-serial = numéro de série { $serial }
disk-wwn = WWN { $wwn }
disk-removable = amovible
disk-no-partitions = aucune partition
disk-unknown-content = contenu inconnu

## Sessions

session-line = Session { $id } : { $computer }, { $does } : { $state }
session-unread = { $sectors } secteurs en usage étaient illisibles : des zéros en tiennent lieu.
session-disk = Disque : { $disk }.
session-question = { $computer } a plusieurs disques. Duquel s'agit-il dans la session { $id } ?
session-answer-with = Répondez avec : mimeo answer { $id } NUMÉRO
session-uses = La session { $id } utilise { $disk }.
session-cancelled = La session { $id } est annulée. Un disque en cours d'écriture ne démarre plus.
session-watch = Aucune session n'attend ni ne tourne. Celles qui commencent s'affichent ici ; Ctrl-C met fin à l'affichage.
does-capture = capture dans { $master }
does-deploy = déploiement de { $master }
state-asked = en attente : quel disque ?
state-waiting = attend que l'ordinateur démarre sur le réseau
state-running = en cours
state-succeeded = réussie
state-failed = échouée
state-failed-in = échouée pendant la phase « { $phase } » : { $reason }
state-cancelled = annulée

## Questions

ask-erase = Ceci sera effacé :
ask-type = Tapez « { $word } » pour effacer et déployer :
ask-yes = oui
ask-nobody = personne n'est au terminal pour le confirmer : donnez --yes si tout cela peut être effacé
ask-nothing-done = rien n'a été fait
ask-disks = { $computer } a plusieurs disques :
ask-disk-read = Lequel est à lire ? Tapez son numéro, son numéro de série ou son WWN :
ask-disk-erase = Lequel est à effacer ? Tapez son numéro, son numéro de série ou son WWN :
ask-no-such-disk = Aucun de ces disques n'est { $typed }.
ask-several = { $computer } a plusieurs disques, dites lequel avec --disk :

## L'accès

about-started = démarré { $when }
about-signs = Ce qui est capturé ici est signé par une clé dont l'empreinte est { $fingerprint }.
token-shown-once = Ce jeton n'est montré que maintenant. Qui le détient peut tout faire.
token-deleted = Le jeton { $name } n'ouvre plus rien.
setup-done = Le mot de passe de l'administrateur est défini. S'il est oublié, pour en choisir un autre : mimeo setup-code --renew

## Erreurs

error-not-running = aucun serveur ne tourne sur cette machine (pas de { $socket }) : lancez-le avec « mimeo serve », ou désignez-en un autre avec --url
error-not-allowed = seul root peut utiliser { $socket } : lancez cette commande en root, ou utilisez --url avec un jeton d'API
error-unreachable = le serveur { $place } est injoignable ({ $error })
error-unreadable = { $path } est illisible ({ $error })
error-no-certificate = { $path } ne contient pas de certificat ({ $error }) : téléchargez-le depuis { $address }
error-bad-url = une adresse comme { $example } était attendue, voici ce qui a été donné : { $found }
error-no-token = --url demande un jeton d'API : créez-en un avec « mimeo token create NOM » sur le serveur, puis définissez MIMEO_TOKEN
error-not-understood = le serveur a répondu ce que ce programme ne comprend pas : les deux sont-ils de la même version ? ({ $error })
error-needs-no-server = cette commande n'a pas besoin d'un serveur
error-sessions-failed = { $failed } sessions sur { $all } n'ont pas réussi
error-no-question = la session { $id } n'attend pas de réponse
error-no-such-disk = aucun des disques possibles n'est { $typed } :
error-several-such-disks = plusieurs des disques possibles sont { $typed }, donnez le numéro dans la liste
error-config-unreadable = la configuration { $file } est illisible ({ $error })
error-config-syntax = { $file } n'est pas du TOML : { $error }
error-config-unknown-key = { $file } : clé inconnue { $key }, vouliez-vous dire { $nearest } ?
error-config-bad-value = { $file } : { $key } = { $value } n'est pas permis, valeurs permises : { $allowed }
error-config-missing-key = { $file } : il manque { $key } ({ $needed })

## Ce que le serveur refuse

refused-computer = il n'y a pas d'ordinateur { $name } : « mimeo computers » les nomme
refused-master = il n'y a pas de master { $name } : « mimeo masters » les nomme
refused-session = il n'y a pas de session { $name } : « mimeo sessions » les nomme
refused-token = il n'y a pas de jeton nommé { $name } : « mimeo token list » les nomme
refused-computer-name = { $name } ne peut pas être le nom d'un ordinateur : il a de 1 à 63 lettres sans accent, chiffres et tirets, ne commence ni ne finit par un tiret, et n'est pas un nombre
refused-name-taken = un autre ordinateur s'appelle déjà { $name }
refused-token-exists = il y a déjà un jeton nommé { $name }
refused-token-name = un nom de jeton a de 1 à 64 caractères, sur une ligne
refused-master-name = { $name } ne peut pas nommer un master : il a de 1 à 64 lettres sans accent, chiffres, « - », « _ » et « . », et commence par une lettre ou un chiffre ; une version se note NOM@3
refused-disk = ceci n'est ni un numéro de série ni un WWN de disque
refused-disks-changed = les disques de l'ordinateur, ou leurs partitions, ne sont plus ce qui a été montré : regardez de nouveau
refused-busy = l'ordinateur a déjà une session en attente ou en cours : attendez sa fin (« mimeo sessions --watch »), ou annulez-la
refused-ended = la session est déjà terminée
refused-not-asked = la session n'attend pas ou plus cette réponse
refused-unknown-token = le serveur ne connaît pas ce jeton d'API : créez-en un avec « mimeo token create NOM » sur le serveur, puis définissez MIMEO_TOKEN
refused-local-only = seul root peut le faire, sur le serveur lui-même
refused-no-library = il n'y a pas de bibliothèque de masters dans { $name } : « mimeo masters copy » sur une autre appliance en crée une
refused-not-empty = { $name } n'est ni vide ni une bibliothèque : indiquez un autre dossier
refused-library-in-use = un autre programme utilise { $name } en ce moment : attendez sa fin ou arrêtez-le
refused-not-genuine = { $name } n'y est pas ce que sa bibliothèque a signé : rien n'est repris. Copiez-la de nouveau là-bas et cherchez qui a eu le disque entre-temps.
refused-another-name = { $name } y a été signée sous un autre nom : rien n'est repris. Copiez-la de nouveau là-bas et cherchez qui a eu le disque entre-temps.
refused-failed = le serveur a échoué, son journal dit pourquoi
refused-disk-full = le disque du serveur est plein, rien n'a été enregistré : faites-y de la place, puis recommencez
refused-database-locked = un autre programme occupe la base de données du serveur : recommencez dans un instant

## Docteur

doctor-ok = ok
doctor-warn = ATTENTION
doctor-fail = ÉCHEC
doctor-configuration = configuration
doctor-clock = horloge
doctor-artefacts = fichiers
doctor-database = base
doctor-store = dépôt
doctor-interface = interface
doctor-ports = ports
doctor-dhcp = DHCP
doctor-notices = machines
doctor-configuration-ok = chaque clé est comprise
doctor-clock-ok = plausible
doctor-clock-behind = l'horloge retarde de plusieurs années : réglez-la, sinon aucun certificat n'est valable (timedatectl)
doctor-artefacts-ok = { $count } fichiers de démarrage sont intacts, issus de { $packages }
doctor-artefacts-bad = { $error } : construisez-les avec « make artefacts »
doctor-database-none = pas encore, le premier démarrage la crée
doctor-database-ok = saine
doctor-database-bad = { $complaints } : arrêtez le serveur et restaurez la dernière sauvegarde
doctor-database-failed = la base de données ne peut pas être examinée : { $error }
doctor-store-nowhere = { $path } ne mène nulle part, corrigez [store] path
doctor-store-failed = { $path } : { $error }
doctor-store-read-only = { $path } est monté en lecture seule
doctor-store-full = il ne reste que { $free } de libres dans { $path }, les captures s'arrêtent : faites de la place
doctor-store-low = il ne reste que { $free } de libres dans { $path }
doctor-store-ok = { $free } sont libres dans { $path }
doctor-interface-ok = { $name } est active avec { $address }
doctor-interface-unlisted = les interfaces réseau ne peuvent pas être énumérées ({ $error })
doctor-interface-missing = il n'y a pas d'interface réseau { $name }, il y a : { $there_are }
doctor-interface-down = l'interface réseau { $name } est inactive, activez-la avec : ip link set { $name } up
doctor-interface-no-address = l'interface réseau { $name } n'a pas d'adresse IPv4, donnez-lui-en une, par exemple ip address add 192.168.77.1/24 dev { $name }
doctor-interface-other-address = l'interface réseau { $name } n'a pas l'adresse { $address }, corrigez [network] address
doctor-interface-none = aucune interface réseau n'est active avec une adresse IPv4, désignez-en une avec [network] interface et donnez-lui une adresse
doctor-interface-several = plusieurs interfaces réseau sont possibles ({ $names }), désignez-en une avec [network] interface ou --interface
doctor-ports-running = un serveur tourne ici et les occupe
doctor-port-free = { $protocol } { $port } est libre
doctor-port-in-use = le port { $protocol } { $port } de { $address } est occupé par un autre programme : arrêtez-le ({ $command } le nomme), ou changez { $key } dans la configuration
doctor-port-not-allowed = le port { $protocol } { $port } demande root : lancez cette commande en root, ou comme service avec CAP_NET_BIND_SERVICE
doctor-notices-unasked = ce qui empêche des machines de démarrer n'est pas connu : { $error }
doctor-port-failed = le port { $protocol } { $port } de { $address } ne peut pas être ouvert ({ $error })

## The store

store-whole = intact
store-without-manifest = son manifeste est perdu
store-lost-chunks = { $number } morceaux sont perdus
store-holds = { $bytes } dans { $packs } paquets, { $chunks } morceaux ; les versions ont besoin de { $needed }.
store-ratio = Toutes les versions ensemble contiennent { $content } : { $ratio } fois cela.
store-free = { $free } sont libres sur le disque du dépôt.
store-is-damaged = { $chunks } morceaux sont endommagés et { $packs } paquets sont illisibles : « mimeo store verify » nomme les versions.
store-damaged = le dépôt est endommagé ; versions qui ne peuvent plus être déployées : { $versions }
store-read-back = { $bytes } relus, { $chunks } morceaux sont intacts.
store-rewritten-packs = { $number } paquets avaient perdu la liste de leurs morceaux et ont été réécrits : aucun contenu n'est perdu, mais le disque est peut-être défaillant.
store-unreadable-pack = Le paquet { $pack } est illisible : { $reason }
store-damaged-chunk = Le morceau { $chunk } est endommagé dans le paquet { $pack } : { $reason }
store-more-damaged = { $number } autres morceaux sont endommagés.
store-version-lacks = Il manque { $number } morceaux à { $version }, le premier est { $first } : capturez à nouveau un ordinateur qui l'a, ou supprimez-la.
store-version-nameless = { $version } a perdu son manifeste : capturez à nouveau un ordinateur qui l'a, ou supprimez-la.
store-freed = { $bytes } libérés : paquets supprimés { $removed }, réécrits { $rewritten } ; manifestes supprimés { $manifests }.
store-would-free = { $bytes } seraient libérés : paquets à supprimer { $removed }, à réécrire { $rewritten } ; manifestes à supprimer { $manifests }.
store-needed-is-lost = { $number } morceaux dont des versions ont besoin sont perdus : « mimeo store verify » nomme les versions.
store-out-of-room = On pourrait libérer davantage, mais le disque n'a pas la place de copier ce qui doit rester.
store-given-up = le serveur a abandonné ; son journal dit pourquoi

## Removing a version

remove-what = Ceci supprimera définitivement :
remove-version = { $version }, capturée { $ago }, { $content } de contenu
remove-nobody = personne n'est au terminal pour confirmer : donnez --yes si tout cela peut être supprimé
remove-type = Tapez { $name } pour supprimer :
remove-nothing = rien n'a été supprimé
remove-done = { $version } est supprimée.
remove-freed-later = Ce que cela seul occupait dans le dépôt est libéré au prochain nettoyage : « mimeo store gc » en lance un tout de suite.

## Images on this machine

version-unread = Il manque à { $version } { $sectors } secteurs ({ $bytes }) qui étaient en usage et illisibles : des zéros en tiennent lieu.
image-none = Il n'y a encore rien ici : faites une version avec « mimeo image capture ».
image-no-library = il n'y a pas de bibliothèque de masters dans { $folder } : « mimeo image capture » en crée une
image-no-version = la capture s'est terminée sans version
image-interrupted = interrompu, rien n'a été fait
image-interrupted-erased = interrompu : ce que la cible contenait est effacé, et ce qui s'y trouve maintenant n'est rien d'entier ; recommencez la restauration
image-not-empty = { $folder } n'est ni vide ni une bibliothèque : indiquez un autre dossier
image-in-use = un autre programme utilise { $folder } en ce moment : attendez sa fin ou arrêtez-le
image-inside-library = { $target } est dans la bibliothèque elle-même : indiquez une cible ailleurs
image-captured = { $version } : { $read } lus, { $stored } ajoutés au dépôt, { $seconds } s.
image-restored = { $version } est sur { $target } : { $written } écrits, { $seconds } s.
image-verifies = Relecture
image-verified = { $version } : { $sound } morceaux sont intacts.
image-damaged = { $version } ne peut pas être restauré : { $number } morceaux sont endommagés ou manquent
image-info = { $version }, un disque de { $disk }, secteurs de { $sector } octets, table : { $table }, manifeste { $root }
image-provenance = Provient de { $library }, dont la clé a l'empreinte { $fingerprint } ; là-bas, c'est { $version }.
image-raw = brut
image-raw-found = { $found }, octet par octet

## Images for other programs

export-to-terminal = l'image irait au terminal : envoyez la sortie standard ailleurs, ou indiquez un fichier
export-to-device = { $file } est un périphérique : « mimeo image restore » y écrit une version
export-file-exists = il y a déjà quelque chose à l'emplacement { $file } : indiquez un autre fichier ou supprimez d'abord celui-là
export-busy = un autre export écrit { $file } en ce moment : attendez sa fin
export-no-partition = { $version } n'a pas de partition { $number } ; elle a : { $others }
export-not-written = impossible d'écrire { $file } à l'octet { $offset } de l'image ({ $detail }) ; ce qui en était écrit est supprimé
export-done = { $version } est dans { $file } : une image de { $size }, dont { $content } ont un contenu, { $seconds } s.

## Versions on their way to another appliance

carry-copies = Copie de { $version }
carry-reads-back = Relecture de { $version }
carry-copied = { $version } est dans { $folder } sous le nom { $copy } : { $stored } écrits.
carry-taken = { $version } est reprise sous le nom { $copy } : { $stored } écrits.
carry-already = { $version } y est déjà, sous le nom { $copy }.
carry-signed = Signé par { $library }, empreinte { $fingerprint } : l'appliance qui reprend cela pour la première fois la demande.
carry-untrusted = { $folder } contient des versions de { $library }, dont la clé a l'empreinte { $fingerprint }. Personne n'a dit ici qu'on lui fait confiance : comparez-la avec celle qui a été montrée là-bas lors de la copie.
carry-trust = Tapez « { $word } » si les deux sont identiques, pour faire confiance à cette clé désormais :
carry-nobody = Personne n'est au terminal pour le dire : une fois comparée, « --trust { $fingerprint } » le fait.
carry-not-genuine = { $version } dans { $folder } n'est pas ce que { $library } a signé : rien n'est repris. Copiez-la de nouveau là-bas et cherchez qui a eu le disque entre-temps.
carry-another-name = { $version } dans { $folder } a été signée sous le nom { $signed } : rien n'est repris. Copiez-la de nouveau là-bas et cherchez qui a eu le disque entre-temps.
carry-interrupted = interrompu : aucune version n'y est à moitié, et la même commande continue avec ce qui manque encore
