# Français. Les clés et leur ordre sont ceux de en.ftl ; un test les compare.

## Cadre

skip = Aller au contenu
menu = Menu
language = Langue
language-set = Choisir
logout = Se déconnecter
computers = Ordinateurs
masters = Masters
sessions = Sessions
about = À propos
yes = oui
unit-gib = Gio
unit-mib = Mio

## La porte

setup-title = Première connexion
setup-intro = Le code s'affiche dans le terminal du serveur à son démarrage ; la commande « mimeo setup-code », lancée en root sur le serveur, le montre aussi. Il ne sert qu'une fois.
setup-code = Code de première connexion
setup-password-hint = Au moins { $chars } caractères. Une phrase entière se retient mieux qu'un mot tordu.
setup-again = Le mot de passe, encore une fois
setup-submit = Créer le compte et entrer
login-title = Connexion
login-name = Nom
login-password = Mot de passe
login-submit = Se connecter
login-forgotten = Mot de passe oublié ? Lancez « mimeo setup-code --renew » en root sur le serveur, puis
login-to-setup = choisissez-en un autre.

## Refus

refused-title = Ce n'est pas possible
refused-back = Retour
refused-not-logged-in = Connectez-vous d'abord.
refused-foreign-page = Cette demande ne vient pas d'une page de ce serveur : elle a été refusée.
refused-no-page = Il n'y a rien à cette adresse. L'ordinateur, le master ou la session n'existe pas, ou n'existe plus.
refused-bad-form = Il manque quelque chose dans ce formulaire, ou l'un de ses champs est illisible. Revenez en arrière et recommencez.
refused-failed = Le serveur a échoué. Son journal dit pourquoi.
refused-disk-full = Le disque du serveur est plein : rien n'a été enregistré. Faites-y de la place, puis recommencez.
refused-database-locked = Un autre programme occupe la base de données du serveur. Recommencez dans un instant.
refused-wrong-credentials = Le nom ou le mot de passe est faux.
refused-wrong-setup-code = Le code est faux ou a déjà servi. « mimeo setup-code », en root sur le serveur, montre le bon.
refused-too-many-attempts = Trop d'essais. Le prochain est possible dans { $seconds } secondes.
refused-bad-account-name = Le nom doit avoir de 1 à 64 caractères, sur une ligne.
refused-password-too-short = Le mot de passe n'a que { $chars } caractères : c'est trop peu.
refused-password-too-long = Le mot de passe est trop long.
refused-passwords-differ = Les deux mots de passe ne sont pas les mêmes.
refused-bad-computer-name = Un nom d'ordinateur a de 1 à 63 lettres sans accent, chiffres et tirets ; il ne commence ni ne finit par un tiret, et n'est pas un nombre.
refused-computer-name-taken = Un autre ordinateur s'appelle déjà { $name }.
refused-bad-master-name = Un nom de master a de 1 à 64 lettres sans accent, chiffres, « - », « _ » et « . » ; il commence par une lettre ou un chiffre.
refused-no-such-master = Il n'y a pas de master { $master }.
refused-master-in-use = { $master } est utilisé : la session { $session } attend ou est en cours. Attendez sa fin, ou annulez-la.
refused-versions-changed = Le master a maintenant d'autres versions que celles affichées. Rien n'a été supprimé : regardez à nouveau.
refused-bad-disk = Ceci n'est ni un numéro de série ni un WWN de disque.
refused-bad-sector-limit = Le nombre de secteurs illisibles tolérés est compris entre 0 et 4096.
refused-disks-changed = Les disques de cet ordinateur, ou leurs partitions, ne sont plus ce qui a été montré. Rien n'a été demandé : regardez de nouveau.
refused-computer-busy = Cet ordinateur a déjà une session en attente ou en cours. Attendez sa fin, ou annulez-la.
refused-session-ended = Cette session est déjà terminée.
refused-nothing-asked = Cette session n'attend pas ou plus cette réponse.

## Ordinateurs

computers-none = Aucun ordinateur encore. Démarrez un ordinateur sur le réseau (souvent F12) et choisissez « Enregistrer cet ordinateur ».
computer-name = Nom
computer-model = Modèle
computer-serial = Numéro de série
computer-firmware = Micrologiciel
computer-memory = Mémoire
computer-seen = Vu la dernière fois
computer-created = Enregistré
computer-what = Ce qu'il est
computer-processor = Processeur
computer-threads = { $threads } fils d'exécution
computer-disks = Disques
computer-no-disks = Aucun disque n'a été vu.
computer-nics = Cartes réseau
computer-settings = Réglages
computer-loader = Chargeur d'amorçage
computer-keep = Enregistrer
computer-no-sessions = Aucune session encore.
loader-signed = Chaîne signée (shim et GRUB) en UEFI, iPXE en BIOS
loader-ipxe = iPXE partout, pour un micrologiciel difficile ; sans Secure Boot
loader-refused = Secure Boot était actif quand cet ordinateur a été vu pour la dernière fois, et il refuse iPXE : désactivez-le dans le micrologiciel, ou choisissez la chaîne signée.
firmware-bios = BIOS
firmware-uefi = UEFI
firmware-uefi-secure = UEFI, Secure Boot actif
firmware-uefi-open = UEFI, Secure Boot inactif
disk-serial = Numéro de série
disk-transport = Raccordement
disk-removable = amovible
disk-sectors = Secteurs (logiques / physiques, en octets)
disk-exact = Taille exacte
disk-bytes = { $bytes } octets
disk-empty = Aucune partition n'a été vue sur ce disque.
partition-number = N°
partition-name = Nom
partition-filesystem = Système de fichiers
partition-size = Taille
filesystem-unknown = inconnu
nic-address = Adresse
nic-driver = Pilote
nic-speed = Débit
nic-booted = A amorcé
deploy-button = Déployer un master …
capture-button = Capturer …

## Demande

order-deploy-title = Déployer un master sur { $computer }
order-capture-title = Capturer { $computer }
order-deploy-intro = Rien ne se passe encore : la page suivante montre ce qui serait effacé.
order-capture-intro = Le disque devient une nouvelle version du master. Il n'est que lu.
order-master = Master et version
order-master-name = Nom du master
order-master-hint = Un nom connu reçoit une nouvelle version, un nouveau nom crée un master.
order-next = Continuer

## Confirmation

confirm-title = Confirmer
confirm-deploy-title = Déployer { $master } ?
confirm-capture-title = Capturer dans { $master } ?
confirm-erased = Tout ce que contient ce disque sera effacé.
confirm-read = Ce disque sera lu. Rien n'y est changé.
confirm-deploy-submit = Effacer ce disque et déployer { $master }
confirm-capture-submit = Lire ce disque et créer { $master }
confirm-choose = Choisir ce disque
confirm-nameless = Ce disque n'a ni numéro de série ni WWN : il ne peut être choisi que sur la page de la session.
confirm-tolerate = Secteurs illisibles tolérés
confirm-tolerate-hint = Pour un disque défaillant : la capture continue malgré ce nombre de secteurs illisibles, 4096 au plus. Des zéros en tiennent lieu, et le master le dit.
confirm-no-verify = Ne pas tout relire
confirm-no-verify-hint = Plus rapide ; un disque qui ne garde pas ce qu'on lui donne passe alors inaperçu.
confirm-later = Créer la session et choisir le disque ensuite
confirm-no = Ne rien faire
confirm-back = Retour à l'ordinateur
question-title = Quel disque ?
question-erased = Tout ce que contient le disque choisi sera effacé.
question-intro = Plusieurs disques sont possibles. Rien ne se passe tant qu'aucun n'est choisi.

## Sessions

session = Session
sessions-open = En attente ou en cours
sessions-ended = Terminées
sessions-none-open = Aucune session n'attend ni ne tourne.
sessions-none-ended = Aucune session ne s'est encore terminée.
session-capture = Capture : { $computer } → { $master }
session-deploy = Déploiement : { $master } → { $computer }
session-progress = { $percent } %, { $done } sur { $total }
session-waits = Démarrez { $computer } sur le réseau : la session commence d'elle-même.
session-asks = Plusieurs disques sont possibles : choisissez-en un.
session-state = État
session-requested = Demandée
session-started = Commencée
session-ended = Terminée
session-lasted = Durée
session-facts = Détails
session-computer = Ordinateur
session-disk = Disque
session-attempts = Essais
session-read = Lu sur le disque
session-written = Écrit sur le disque
session-sent = Envoyé au serveur
session-received = Reçu du serveur
session-unread = Secteurs illisibles
session-phases = Phases
session-phase = Phase
session-attempt = Essai
session-began = Début
session-failed-in = Échec pendant la phase « { $phase } ».
state-asked = quel disque ?
state-waiting = en attente
state-running = en cours
state-succeeded = réussie
state-failed = échouée
state-cancelled = annulée
cancel-title = Annuler la session …
cancel-capture = La capture s'arrête et n'a pas de version. Le disque de l'ordinateur reste tel qu'il est.
cancel-deploy = Le déploiement s'arrête. Si l'écriture a commencé, l'ordinateur ne démarre plus de son disque jusqu'au prochain déploiement.
cancel-submit = Annuler la session

## Masters

masters-none = Aucun master encore. Capturez un ordinateur pour en créer un.
version = Version
version-created = Créée
version-disk = Disque
version-carried = Contenu
version-stored = Ajouté au dépôt
version-origin = Origine
version-session = session { $session }
version-latest = la plus récente
version-carries = contenu { $carried }
version-unread = { $sectors } secteurs ({ $bytes }) étaient illisibles, des zéros en tiennent lieu
remove-button = Supprimer …
remove-title = Supprimer { $master } ?
remove-version-intro = Cette version ne pourra plus être déployée et ne pourra pas être récupérée. Les ordinateurs sur lesquels elle a été déployée restent tels qu'ils sont. Les autres versions du master ne sont pas touchées.
remove-master-intro = Aucune version de ce master ne pourra plus être déployée ni récupérée. Les ordinateurs sur lesquels elles ont été déployées restent tels qu'ils sont.
remove-versions = Ce qui est supprimé
remove-room = La place dont rien d'autre n'a besoin est libérée plus tard, au prochain nettoyage.
remove-submit = Supprimer { $master } définitivement
remove-master-button = Supprimer tout le master …

## DHCP

dhcp-title = DHCP
dhcp-link = Configuration pour un autre serveur DHCP
dhcp-mode-proxy = Ce serveur dit quoi démarrer et ne donne pas d'adresses (mode « proxy »).
dhcp-mode-pxe = Ce serveur dit quoi démarrer et ne donne d'adresses qu'aux micrologiciels qui démarrent (mode « pxe »).
dhcp-mode-full = Ce serveur est le serveur DHCP du réseau (mode « full ») : aucun autre n'est à configurer.
dhcp-mode-off = DHCP est éteint ici (mode « off ») : les machines ne démarrent que si un autre serveur DHCP les envoie ici.
dhcp-intro = Un serveur DHCP qui désigne celui-ci laisse démarrer toute machine, avec Secure Boot aussi. Écrivez dans sa configuration ce qui figure sous son nom. En ligne de commande : mimeo dhcp-snippets.

## À propos

about-started = En marche depuis
about-authority = Certificat de l'autorité
about-authority-intro = Installez-le sur vos ordinateurs d'administration : leurs navigateurs reconnaissent alors ce serveur.
about-authority-download = Télécharger mimeo-ca.pem
about-key = Clé des masters
about-key-intro = Ce qui est capturé ici est signé par une clé qui a cette empreinte. Une appliance qui reprend une copie pour la première fois la demande :
about-artefacts = Ce que les ordinateurs démarrent
about-artefacts-intro = Chaque fichier vient d'un paquet de Debian, inchangé et vérifié, ou de Mimeo lui-même.
artefact-name = Fichier
artefact-package = Paquet
artefact-size = Taille
