# Français. Les clés et leur ordre sont ceux de en.ftl ; un test les compare.

disk-with-serial = { $model }, numéro de série { $serial }, { $size }
disk-without-serial = { $model }, sans numéro de série, { $size }

phase-prepare = Préparation
phase-read = Lecture du disque
phase-partition = Effacement du disque
phase-write = Écriture
phase-verify = Vérification
phase-grow = Agrandissement des systèmes de fichiers
phase-personalise = Personnalisation
phase-finish = Finalisation

failure-disk-missing = Le disque choisi n'est pas dans cet ordinateur ({ $disk }). Vérifiez son câble, ou relancez la session en choisissant un autre disque.
failure-disk-none = Cet ordinateur n'a pas de disque possible : les disques amovibles ou raccordés en USB ne sont jamais utilisés. Vérifiez que son disque est branché et que son pilote existe, puis redémarrez l'ordinateur par le réseau.
failure-disk-unknown = Cet ordinateur n'a pas de disque dont le numéro de série ou le WWN est { $serial } ; les disques amovibles ou raccordés en USB ne sont jamais utilisés. Voyez ses disques dans la page de cet ordinateur, ou vérifiez le câble de celui-ci et redémarrez l'ordinateur par le réseau.
failure-disk-ambiguous = { $found } disques répondent à la description de celui qui a été choisi ({ $disk }). Débranchez les autres, ou relancez la session en choisissant un disque par son numéro de série.
failure-disk-too-small = Le disque est trop petit : le master demande { $needed } ({ $needed_bytes } octets), le disque en a { $actual } ({ $actual_bytes } octets). Utilisez un disque plus grand ou un master plus petit. Rien n'a été écrit.
failure-sector-size = Le master vient d'un disque à secteurs de { $master } octets, ce disque a des secteurs de { $target } octets. Utilisez un disque à secteurs de { $master } octets. Rien n'a été écrit.
failure-disk-busy = Le disque est utilisé par { $holder }. Redémarrez l'ordinateur et recommencez.
failure-source-table = La table de partitions du disque est illisible ({ $detail }). Réparez le disque, puis recommencez la capture.
source-partition = la partition { $partition }
source-disk = le disque
source-of-partition = de la partition { $partition }
source-of-disk = du disque
source-in-volume = { $filesystem } dans le volume { $volume }
failure-hibernated = Windows est en veille sur { $place } ({ $filesystem }) : l'hibernation ou le « démarrage rapide » est actif. Démarrez Windows, exécutez « powercfg /h off », arrêtez-le, puis recommencez la capture.
failure-hibernated-linux = Linux est en veille prolongée : { $place } ({ $filesystem }) contient la mémoire d'un système en cours. Démarrez-le, arrêtez-le au lieu de le mettre en veille, puis recommencez la capture.
failure-dirty = Le système de fichiers { $of } ({ $filesystem }) n'a pas été fermé correctement. Démarrez le système qu'il porte, laissez-le vérifier son disque (« chkdsk /f » sous Windows), arrêtez-le, puis recommencez la capture.
failure-journal = Le système de fichiers { $of } ({ $filesystem }) n'a pas été fermé correctement : des changements attendent dans son journal. Démarrez le système qu'il porte, arrêtez-le proprement, puis recommencez la capture.
failure-journal-elsewhere = Le système de fichiers { $of } ({ $filesystem }) garde son journal sur un autre périphérique, sans lequel il ne peut pas être monté. Réintégrez le journal : une fois le système de fichiers démonté, exécutez sur lui « tune2fs -O ^has_journal » puis « tune2fs -j », puis recommencez la capture.
failure-journal-stays-elsewhere = Le système de fichiers { $of } ({ $filesystem }) garde son journal sur un autre périphérique, sans lequel il ne peut pas être monté. Sauvegardez ses fichiers, recréez le système de fichiers avec un journal interne, remettez les fichiers, puis recommencez la capture.
failure-files-elsewhere = Le système de fichiers { $of } ({ $filesystem }) garde une partie de ses fichiers sur un autre périphérique, sans lequel ils seraient perdus. Sauvegardez ses fichiers, recréez le système de fichiers sur { $place } sans autre périphérique, remettez les fichiers, puis recommencez la capture.
failure-several-devices = Le système de fichiers { $of } ({ $filesystem }) s'étend sur d'autres disques ou partitions, sans lesquels il ne peut pas être monté. Ramenez-le en entier sur { $place } : monté, exécutez « btrfs balance start -f -dconvert=single -mconvert=dup » puis « btrfs device remove » pour chaque autre périphérique, puis recommencez la capture.
failure-group-elsewhere = Le groupe de volumes LVM { $group }, auquel appartient { $place }, a des parties qui sont sur d'autres disques ou qui manquent : tel quel, il est inutilisable. Ramenez le groupe sur ce disque : exécutez « pvmove » puis « vgreduce { $group } » pour chaque volume physique situé ailleurs, ou « vgreduce --removemissing { $group } » si l'un d'eux est perdu pour de bon, puis recommencez la capture.
failure-group-nameless = Le groupe de volumes LVM auquel appartient { $place } a sa description sur un autre disque : tel quel, il est inutilisable. Ramenez le groupe sur ce disque : exécutez « pvmove » puis « vgreduce » pour chaque volume physique situé ailleurs, puis recommencez la capture.
failure-source-damaged = Le système de fichiers { $of } ({ $filesystem }) se contredit : { $detail }. Vérifiez-le avec son propre outil, puis recommencez la capture.
failure-read = Le disque est illisible à l'octet { $offset } ({ $detail }). Remplacez le disque ou sauvez ce qui peut l'être.
failure-unreadable = Le disque source est illisible à l'octet { $offset } ({ $detail }). Remplacez le disque, ou faites continuer la capture malgré ce qui est illisible : avec --tolerate-bad-sectors N, ou « Secteurs illisibles tolérés » sur la page, jusqu'à N secteurs deviennent des zéros, et le master le dit partout où il est affiché.
failure-unreadable-more = Le disque source a plus de secteurs illisibles en usage que les { $tolerated } tolérés : { $found } ont été trouvés, le premier à l'octet { $offset } ({ $detail }). Remplacez le disque, ou tolérez-en davantage : --tolerate-bad-sectors N, ou « Secteurs illisibles tolérés » sur la page.
failure-write = Le disque refuse l'écriture à l'octet { $offset } ({ $detail }). Remplacez le disque, puis recommencez le déploiement.
failure-verify = Le disque a rendu d'autres octets que ceux qui ont été écrits, à l'octet { $offset } (morceau { $chunk }). Remplacez le disque, puis recommencez le déploiement.
failure-chunk-damaged = Un morceau est abîmé dans le dépôt du serveur : { $chunk } ({ $detail }). Capturez à nouveau ce master et vérifiez le disque du serveur.
failure-chunk-missing = Il manque au dépôt du serveur un morceau de ce master : { $chunk }. Capturez à nouveau ce master et vérifiez le disque du serveur.
failure-manifest = La description du master a été refusée : { $detail }. Redémarrez l'ordinateur par le réseau ; si cela ne suffit pas, capturez à nouveau le master.
failure-store-full = Le disque du serveur est plein ({ $detail }). Faites-y de la place, puis recommencez la capture. Les autres masters sont intacts.
failure-store = Le dépôt du serveur est inutilisable ({ $detail }). Voyez le journal du serveur.
failure-server-lost = Le serveur n'a pas répondu assez vite ({ $detail }). Vérifiez le réseau et le serveur, puis redémarrez cet ordinateur par le réseau.
failure-client-lost = L'ordinateur a cessé de répondre au cours de { $attempts } essais. Vérifiez son alimentation et son câble réseau, puis relancez la session.
failure-client-silent = L'ordinateur a lancé { $boots } fois de suite le client de Mimeo sans s'annoncer au serveur. Son écran en donne chaque fois la raison : lisez-la sur place (carte réseau sans pilote, pas d'adresse, serveur qui n'est pas reconnu), puis relancez la session.
failure-tool = Le programme { $name } a échoué : { $detail }.
failure-internal = Mimeo s'est trompé : { $detail }. Merci de le signaler avec le journal de cette session.

report-taken-over = { $kept } sur { $carried } étaient déjà en place et ont été gardés ; { $received } reçus, { $written } écrits.
report-partly-compared = { $kept } sur { $carried } étaient déjà en place et ont été gardés ; comparer le reste aurait pris plus de temps que l'écrire. { $received } reçus, { $written } écrits.
report-in-full = Ses { $carried } ont été écrits en entier, { $received } reçus.
report-verified = La relecture et la comparaison de tout ont pris { $time }, { $percent } % du total.
report-not-verified = Rien n'a été relu, comme demandé : chaque morceau a été prouvé avant d'être écrit et le disque a déclaré tout garder, mais personne n'a regardé si c'est vrai.
warning-place-partition = Partition { $partition }
warning-place-disk = Le disque entier
warning-place-volume = { $place }, volume { $volume }
warning-luks = { $place } : chiffrement LUKS. Tout est transporté octet par octet, espace libre compris, et chaque ordinateur déployé a la même clé : qui en ouvre un les ouvre tous. Chiffrez chacun de nouveau après le déploiement (« cryptsetup reencrypt »).
warning-bitlocker = { $place } : chiffrement BitLocker. Tout est transporté octet par octet, espace libre compris, et chaque ordinateur déployé a la même clé. Un volume scellé par un TPM demande sa clé de récupération sur un autre ordinateur : suspendez ou désactivez BitLocker, puis recommencez la capture.
warning-raid-member = { $place } : un seul membre d'un RAID Linux, transporté octet par octet. Là où il est déployé, la grappe doit être assemblée à partir de ce seul membre : elle démarre en mode dégradé, ou ne démarre pas. Capturez plutôt un disque qui n'appartient à aucune grappe.

dhcp-off = DHCP est éteint : les machines ne démarrent que si un autre serveur DHCP les envoie ici.
dhcp-cannot-listen = Impossible d'écouter sur { $interface } ({ $error }). Lancez cette commande en root.
dhcp-nobody-answered = Aucun autre serveur DHCP ne répond.
dhcp-another-boot-service = { $server } envoie les machines démarrer ailleurs (serveur { $next_server }, fichier { $file }) : deux services de démarrage sur un même réseau se prennent les machines l'un à l'autre.
dhcp-names-us = { $server } donne les adresses et désigne ce serveur pour le démarrage : toute machine peut démarrer.
dhcp-gives-addresses = { $server } donne les adresses sans désigner ce serveur : les machines avec Secure Boot ont besoin d'une adresse donnée ici.
dhcp-advice-proxy = Mettez [dhcp] mode = "proxy" dans la configuration.
dhcp-advice-pxe = Mettez [dhcp] mode = "pxe" et une plage d'adresses libres (pool) dans la configuration, ou faites désigner ce serveur par l'autre : « mimeo dhcp-snippets » affiche ce qu'il faut y écrire.
dhcp-advice-full = Mettez [dhcp] mode = "full" et une plage d'adresses (pool) dans la configuration, sauf si le serveur DHCP n'est arrêté que pour un moment.
dhcp-advice-off = Arrêtez l'autre service de démarrage, ou mettez [dhcp] mode = "off" dans la configuration.
dhcp-obstacle-nobody = aucun serveur DHCP n'a été entendu, donc aucun n'est connu pour désigner ce serveur pour le démarrage
dhcp-obstacle-names-nobody = le serveur DHCP { $server } ne désigne aucun serveur de démarrage
dhcp-obstacle-names-another = le serveur DHCP { $server } désigne { $next_server } comme serveur de démarrage
notice-secure-boot-proxy = { $mac } a reçu iPXE et ne l'a pas démarré. Avec Secure Boot, cette machine ne peut pas démarrer d'ici : { $reason }. Mettez [dhcp] mode = "pxe" et une plage d'adresses libres (pool), ou faites désigner ce serveur par le serveur DHCP (next-server ; « mimeo dhcp-snippets » affiche la configuration).
notice-secure-boot-pxe = { $mac } a pris l'adresse d'un autre serveur DHCP au lieu de la nôtre, a reçu iPXE et ne l'a pas démarré. Avec Secure Boot, cette machine ne peut pas démarrer ainsi : { $reason }. Démarrez-la une fois de plus : une de nos adresses lui sera de nouveau proposée. Si cela ne suffit pas, faites désigner ce serveur par le serveur DHCP (next-server ; « mimeo dhcp-snippets » affiche la configuration).
notice-pool-exhausted = Les { $addresses } adresses de la plage étaient toutes prises quand une machine en a demandé une. Agrandissez [dhcp] pool, ou démarrez moins de machines à la fois.

console-drivers = Chargement des pilotes...
console-no-card = Aucune carte réseau n'est encore apparue...
console-no-link = Attente d'un lien sur { $cards }. Le câble est-il branché aux deux bouts ?
console-network = Demande d'une adresse par { $card }...
console-reaching = { $card } a l'adresse { $address }. Connexion au serveur...
console-payload = Récupération des pilotes de disque et des outils...
console-inventory = Inventaire de cet ordinateur...
console-hello = Échange avec le serveur...
console-waiting = Cet ordinateur est prêt et attend des ordres.
console-waiting-hint = Choisissez-le dans la page de Mimeo, { $page }, pour capturer son disque ou pour y déployer un master.
console-question-capture = Cet ordinateur a plusieurs disques. Lequel devient le master { $master } ? Rien ne se passe avant que l'un d'eux soit choisi.
console-question-deploy = Cet ordinateur a plusieurs disques. Sur lequel écrire le master { $master } ? Ce qu'il contient sera effacé. Rien ne se passe avant que l'un d'eux soit choisi.
console-question-page = Répondez dans la page de Mimeo : { $page }
console-question-command = ou sur le serveur :             mimeo answer { $session } NUMÉRO
console-question-no-partitions = aucune partition vue
console-question-more = Les { $shown } premiers sur { $count } ; la page les montre tous :
console-capture = Le disque de cet ordinateur devient le master { $master }
console-deploy = Le master { $master } est écrit sur cet ordinateur
console-source = Source, seulement lue : { $disk }
console-target = Cible, dont le contenu est effacé : { $disk }
console-done = { $done } sur { $total }
console-rate = { $rate }, encore { $left }
console-kept = Déjà en place, et gardé : { $kept }
console-traffic = Reçu { $received }, envoyé { $sent }
console-stopped = Le serveur a mis fin à cette session.
console-stopped-hint = La page de Mimeo dit pourquoi. Si l'écriture avait commencé, cet ordinateur ne démarre plus de son disque jusqu'au prochain déploiement. Il demande de nouveaux ordres dans un instant, et redémarre s'il n'y en a pas.
console-failed = La session a échoué pendant la phase « { $phase } ».
console-stuck = Cet ordinateur ne peut pas continuer.
console-restarts-in = Il redémarre dans { $time }.
console-reboot = L'ordinateur redémarre.
console-power-off = L'ordinateur s'éteint.
console-silence = Le serveur ne répond pas depuis { $time }. Nouvel essai : vérifiez le câble et le serveur.
console-died = Le programme de Mimeo s'est arrêté brusquement ({ $reason }). Si cela se répète, signalez-le ; si la mémoire a manqué, il en faut davantage à l'ordinateur.

trouble-not-our-boot = Cet ordinateur n'a pas été démarré par le menu de Mimeo ({ $detail }). Démarrez-le à nouveau par le réseau ; si cela se répète, exécutez « mimeo doctor » sur le serveur.
trouble-no-card = Aucune carte réseau de cet ordinateur ne fonctionne ici. Utilisez une autre carte ou un adaptateur USB, et démarrez par elle.
trouble-no-link = Aucune carte réseau n'a de lien ({ $cards }). Vérifiez le câble et le commutateur.
trouble-no-address = Aucun serveur DHCP ne donne d'adresse ({ $attempts }). Vérifiez où mène le câble, et qu'il reste des adresses au serveur DHCP.
trouble-server-silent = Le serveur { $server } ne répond pas ({ $detail }). Vérifiez que Mimeo tourne et que ce réseau mène à lui.
trouble-payload = Le serveur a envoyé autre chose que ce qu'il avait annoncé ({ $detail }). Si cela se répète, relancez Mimeo sur le serveur.
trouble-not-let-in = Le serveur n'admet pas cet ordinateur ({ $detail }). Il recommence depuis le début.
trouble-defect = Mimeo s'est trompé : { $detail }. Merci de le signaler avec le journal de cet ordinateur.
