//! Known replies of large receivers and of the filters in front of others, most specific first. Data only.

use super::known::Actor::{Either, Nobody, Recipient, Sender, They, We};
use super::known::{Hint, KnownReply, code, codes};

const GMAIL: &str = "Gmail";
const YAHOO: &str = "Yahoo, AOL";
const TELEKOM: &str = "t-online.de";
const UNITED: &str = "GMX, web.de, mail.com";
const APPLE: &str = "iCloud";
const PROOFPOINT: &str = "Proofpoint";
const MIMECAST: &str = "Mimecast";
const BARRACUDA: &str = "Barracuda";
const CISCO: &str = "Cisco";
const TREND: &str = "Trend Micro";
const SPAMHAUS: &str = "Spamhaus";

pub(super) const RECEIVERS: &[KnownReply] = &[
    // Gmail signs its replies with gsmtp. Google, "Gmail SMTP errors and codes" (support.google.com/a/answer/3726730) and
    // "Email sender guidelines FAQ" (support.google.com/a/answer/14229414).
    KnownReply {
        from: GMAIL,
        codes: None,
        marks: &["gcdp"],
        hint: Hint {
            token: "gmail-domain-rule",
            actor: They,
            advice: "A rule of the recipient's own organisation refuses the message: its administrators can say why.",
        },
        example: "550 5.7.1 This message violates fabrikam.example email policy. - gcdp a1-20020a - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 32),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-alignment",
            actor: We,
            advice: "We must have SPF or DKIM pass for the same domain that is in From.",
        },
        example: "421 4.7.32 Your email has been rate limited because the From: header (RFC5322) in this message isn't aligned with either the authenticated SPF or DKIM organizational domain. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: codes(7, 31, 40),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-dmarc-record",
            actor: We,
            advice: "We must publish a DMARC record for the sender's domain.",
        },
        example: "421 4.7.40 Your email has been rate limited because the sending domain doesn't have a DMARC record, or the DMARC record doesn't specify a DMARC policy. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: None,
        marks: &["gsmtp", "dmarc policy|due to domain's dmarc"],
        hint: Hint {
            token: "gmail-dmarc",
            actor: We,
            advice: "The owner of the domain in From asks for rejection by DMARC: SPF or DKIM must pass for that domain, so let \
                     our address into its SPF record or sign with its DKIM key.",
        },
        example: "550 5.7.26 Unauthenticated email from contoso.example is not accepted due to domain's DMARC policy. Please contact the administrator of contoso.example domain if this was a legitimate mail. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 28),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-rate",
            actor: We,
            advice: "We must find out who sends unsolicited mail through this relay, or send to Gmail more slowly \
                     (messages_per_minute).",
        },
        example: "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 26),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-unauthenticated",
            actor: We,
            advice: "We must let our address into the SPF record of the sender's domain, or sign its mail with DKIM: Gmail takes none \
                     where both fail.",
        },
        example: "550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: codes(7, 23, 25),
        marks: &["gsmtp", "ptr|reverse dns|forward dns"],
        hint: Hint {
            token: "gmail-no-ptr",
            actor: We,
            advice: "We must give our sending address a PTR record, and the name in it an address record that leads back.",
        },
        example: "550 5.7.25 The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not point to the sending IP. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 27),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-spf",
            actor: We,
            advice: "We must let our address into the SPF record of the reverse-path's domain.",
        },
        example: "421 4.7.27 Your email has been rate limited because SPF authentication didn't pass for this message. Gmail requires all bulk email senders to authenticate their email with SPF. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 29),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-tls",
            actor: We,
            advice: "We must send to Gmail over TLS: tls must not be \"off\" on the connector, and no firewall may remove STARTTLS.",
        },
        example: "421 4.7.29 Your email has been rate limited because this message wasn't sent over a TLS connection. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 30),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-dkim",
            actor: We,
            advice: "We must sign mail of the sender's domain with DKIM, and nothing on the way may change it afterwards.",
        },
        example: "421 4.7.30 Your email has been rate limited because DKIM authentication didn't pass for this message. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: codes(7, 0, 1),
        marks: &["gsmtp", "low reputation|unsolicited mail|suspicious|spam"],
        hint: Hint {
            token: "gmail-reputation",
            actor: We,
            advice: "We must find out what gave our address or domain a bad name (Google Postmaster Tools shows it), and send only \
                     mail that its readers want.",
        },
        example: "550 5.7.1 [192.0.2.1] Gmail has detected that this message is likely suspicious due to the very low reputation of the sending domain. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 0),
        marks: &["gsmtp", "tls required"],
        hint: Hint {
            token: "gmail-tls-compliance",
            actor: We,
            advice: "The recipient's organisation takes mail over TLS only: tls must not be \"off\" on the connector, and no firewall \
                     may remove STARTTLS.",
        },
        example: "421 4.7.0 TLS required for RCPT domain, closing connection. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(7, 0),
        marks: &["gsmtp", "security issue"],
        hint: Hint {
            token: "gmail-attachment",
            actor: Sender,
            advice: "The sender must send the attachment in another way: Gmail takes no programs, nor archives that hold some.",
        },
        example: "552 5.7.0 This message was blocked because its content presents a potential security issue. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(2, 1),
        marks: &["gsmtp", "receiving mail"],
        hint: Hint {
            token: "gmail-recipient-rate",
            actor: Nobody,
            advice: "Nobody needs to act, since the mailbox gets too much mail at once; what is deferred is tried again.",
        },
        example: "450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time. - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(2, 2),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-full",
            actor: Recipient,
            advice: "The recipient must make room in the mailbox or in the storage that belongs to it.",
        },
        example: "452 4.2.2 The recipient's inbox is out of storage space. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaTemp - gsmtp",
    },
    KnownReply {
        from: GMAIL,
        codes: code(1, 1),
        marks: &["gsmtp"],
        hint: Hint {
            token: "gmail-unknown-recipient",
            actor: Sender,
            advice: "The sender should check the recipient's address, which does not exist there.",
        },
        example: "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos or unnecessary spaces. - gsmtp",
    },
    // Yahoo, senders.yahooinc.com/smtp-error-codes; help.yahoo.com SLN3434, SLN3436, SLN26151.
    KnownReply {
        from: YAHOO,
        codes: None,
        marks: &["[ts03]|[tss09]|permanently deferred"],
        hint: Hint {
            token: "yahoo-blocked",
            actor: We,
            advice: "We must find out what Yahoo's users complain of and end it, and then ask Yahoo's sender support; trying again \
                     does not help before.",
        },
        example: "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
    },
    KnownReply {
        from: YAHOO,
        codes: None,
        marks: &["[tss0|[ts0|[tss1"],
        hint: Hint {
            token: "yahoo-deferred",
            actor: We,
            advice: "We should send to Yahoo more slowly (messages_per_minute) and look for mail that its users complain of.",
        },
        example: "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
    },
    KnownReply {
        from: YAHOO,
        codes: None,
        marks: &["[bl2"],
        hint: Hint {
            token: "yahoo-block-list",
            actor: We,
            advice: "Our address is on a list that Yahoo uses, usually Spamhaus': we must end the reason for it, and then have it removed.",
        },
        example: "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list; see http://postmaster.yahoo.com/550-bl23.html",
    },
    KnownReply {
        from: YAHOO,
        codes: None,
        marks: &["[ph01]|message not accepted for policy reasons|email not accepted for policy reasons"],
        hint: Hint {
            token: "yahoo-policy",
            actor: We,
            advice: "We must have SPF, DKIM and DMARC pass for the domain in From, and look at the links in the message; Yahoo's \
                     sender support can review it.",
        },
        example: "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
    },
    // Deutsche Telekom, postmaster.t-online.de, chapters 4 and 6; spamresource.com, June 2020; help.creoline.com.
    KnownReply {
        from: TELEKOM,
        codes: None,
        marks: &["dialup/transient ip not allowed"],
        hint: Hint {
            token: "telekom-dynamic-address",
            actor: We,
            advice: "We must give our address a PTR record with the relay's own name, show a legal notice with contacts on the web page \
                     of that name, and then write to the address in the reply; or send through the provider's smart host.",
        },
        example: "554 IP=192.0.2.1 - Dialup/transient IP not allowed. Use a mailgateway or contact toda@rx.t-online.de if obsolete. (DIAL)",
    },
    KnownReply {
        from: TELEKOM,
        codes: None,
        marks: &["554 ip="],
        hint: Hint {
            token: "telekom-unknown-sender",
            actor: We,
            advice: "We must give our address a PTR record with the relay's own name, show a legal notice with contacts on the web page \
                     of that name, and then ask the address in the reply to accept this relay.",
        },
        example: "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.) (BL)",
    },
    // United Internet, postmaster.gmx.com/en/error-messages; smtp.codes/unitedinternet.
    KnownReply {
        from: UNITED,
        codes: None,
        marks: &[
            "nemesis esmtp service|postmaster.gmx|postmaster.web.de|postmaster.mail.com|postmaster.1und1",
            "ptr resource record|bad dns",
        ],
        hint: Hint {
            token: "gmx-ptr",
            actor: We,
            advice: "We must give our address a PTR record with a name of our own, not one that the provider makes from the address.",
        },
        example: "554 gmx.net (mxgmx104) Nemesis ESMTP Service not available\nNo SMTP service\nBad DNS PTR resource record.\nFor explanation visit https://postmaster.gmx.net/en/case?c=rdns",
    },
    KnownReply {
        from: UNITED,
        codes: None,
        marks: &[
            "nemesis esmtp service|postmaster.gmx|postmaster.web.de|postmaster.mail.com|postmaster.1und1",
            "block listed|blacklisted|blocklisted",
        ],
        hint: Hint {
            token: "gmx-block-list",
            actor: We,
            advice: "We must end what our address was listed for, and then use the form behind the link in the reply.",
        },
        example: "554 gmx.net (mxgmx104) Nemesis ESMTP Service not available\nNo SMTP service\nIP address is block listed.\nFor explanation visit https://postmaster.gmx.net/en/case?c=r0201&i=ip&v=198.51.100.42",
    },
    KnownReply {
        from: UNITED,
        codes: None,
        marks: &["reject due to spf policy"],
        hint: Hint {
            token: "gmx-spf",
            actor: We,
            advice: "We must let our address into the SPF record of the reverse-path's domain; forwarded mail needs a reverse-path of ours.",
        },
        example: "550 Requested action not taken: mailbox unavailable\nReject due to SPF policy.\nFor explanation visit https://postmaster.gmx.net/en/case?c=r0103",
    },
    KnownReply {
        from: UNITED,
        codes: None,
        marks: &["reject due to policy violations|reject due to policy restrictions"],
        hint: Hint {
            token: "gmx-policy",
            actor: We,
            advice: "We must look for mail to addresses that do not exist and for accounts that send spam, and keep one EHLO name for \
                     each address; then it may pass.",
        },
        example: "421 Requested action aborted: local error in processing\nReject due to policy violations.\nFor explanation visit https://postmaster.gmx.net/en/case?c=r0601",
    },
    KnownReply {
        from: UNITED,
        codes: None,
        marks: &[
            "postmaster.gmx|postmaster.web.de|postmaster.mail.com|postmaster.1und1|nemesis esmtp service",
        ],
        hint: Hint {
            token: "gmx-other",
            actor: We,
            advice: "We should follow the link in the reply, which says what is wrong and offers a form.",
        },
        example: "554 Transaction failed\nFor explanation visit https://postmaster.web.de/en/case?c=r0105",
    },
    // Apple, support.apple.com/102322 (HT204137), "Postmaster information for iCloud Mail"; smtp.codes/icloud.
    KnownReply {
        from: APPLE,
        codes: None,
        marks: &["deferred due to excessive volume"],
        hint: Hint {
            token: "icloud-volume",
            actor: We,
            advice: "We should send to iCloud more slowly (messages_per_minute).",
        },
        example: "421 4.7.1 Messages to bob@icloud.com deferred due to excessive volume. Try again later - https://support.apple.com/en-us/HT204137",
    },
    KnownReply {
        from: APPLE,
        codes: None,
        marks: &["[cs01]|[hm08]|[hme1]|[hm0"],
        hint: Hint {
            token: "icloud-policy",
            actor: We,
            advice: "We must have SPF and DKIM pass for the sender's domain and look at the links in the message; if it is still \
                     refused, iCloud's postmaster takes reports with log lines.",
        },
        example: "554 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137",
    },
    KnownReply {
        from: APPLE,
        codes: None,
        marks: &["ht204137|102322", "dmarc"],
        hint: Hint {
            token: "icloud-dmarc",
            actor: We,
            advice: "The owner of the domain in From asks for rejection by DMARC: SPF or DKIM must pass for that domain.",
        },
        example: "550 5.7.1 Your message was rejected due to contoso.example's DMARC policy. See https://support.apple.com/en-us/HT204137 for info",
    },
    // Proofpoint, ipcheck.proofpoint.com; excelmicro.kayako.com/article/29.
    KnownReply {
        from: PROOFPOINT,
        codes: None,
        marks: &["ipcheck.proofpoint.com|proofpoint.com/dnsbl-lookup"],
        hint: Hint {
            token: "proofpoint-address",
            actor: We,
            advice: "We must end what gave our address a bad name, and then ask for its removal at ipcheck.proofpoint.com.",
        },
        example: "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
    },
    // Mimecast, "Policies - Mimecast SMTP Error Codes" (mimecastsupport.zendesk.com, article 34000709564691).
    KnownReply {
        from: MIMECAST,
        codes: None,
        marks: &["internal resource"],
        hint: Hint {
            token: "mimecast-greylisted",
            actor: Nobody,
            advice: "Nobody needs to act, since Mimecast lets a sender that it does not know try again, a minute later or more; if it \
                     lasts for hours, our address has a bad name there.",
        },
        example: "451 Internal resource temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451 [Aj3QXapeMpqZYaeFwWhjzw.us32]",
    },
    KnownReply {
        from: MIMECAST,
        codes: None,
        marks: &["mimecast|anti-spoofing policy", "anti-spoofing"],
        hint: Hint {
            token: "mimecast-anti-spoofing",
            actor: They,
            advice: "The recipient's organisation takes no mail with its own domain from outside: its administrators must except this \
                     relay's address in their Mimecast policy.",
        },
        example: "550 Rejected by header based Anti-Spoofing policy: ann@fabrikam.example - https://community.mimecast.com/docs/DOC-1369#550 [GbS]",
    },
    KnownReply {
        from: MIMECAST,
        codes: None,
        marks: &["mimecast", "blocked|prohibition|security policies|rejected"],
        hint: Hint {
            token: "mimecast-policy",
            actor: They,
            advice: "A policy of the recipient's organisation refuses the sender or the message: its administrators can see and change \
                     that in Mimecast, which does not talk to others.",
        },
        example: "550 Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550 [GbS]",
    },
    KnownReply {
        from: MIMECAST,
        codes: None,
        marks: &["mimecast", "invalid recipient|open relay"],
        hint: Hint {
            token: "mimecast-recipient",
            actor: Either,
            advice: "The sender should check the address; if it is right, its organisation's administrators must add it or its domain \
                     to Mimecast.",
        },
        example: "451 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#451 [GbS]",
    },
    // luxsci.com/blog/?p=16857; tig.csail.mit.edu, EmailBlockedByBarracuda; barracudacentral.org/rbl/removal-request.
    KnownReply {
        from: BARRACUDA,
        codes: None,
        marks: &["barracuda reputation|barracudacentral|barracudanetworks.com/reputation"],
        hint: Hint {
            token: "barracuda-address",
            actor: We,
            advice: "We must end what gave our address a bad name, and then ask for its removal at barracudacentral.org.",
        },
        example: "554 Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation; http://www.barracudanetworks.com/reputation/?r=1&ip=192.0.2.1",
    },
    KnownReply {
        from: BARRACUDA,
        codes: None,
        marks: &["permanent failure for one or more recipients", ":blocked"],
        hint: Hint {
            token: "barracuda-policy",
            actor: They,
            advice: "A rule of the recipient's Barracuda refuses the sender or the message: its administrators can see which one in its log.",
        },
        example: "550 permanent failure for one or more recipients (bob@fabrikam.example:blocked)",
    },
    // Cisco, "Understanding SenderBase reputation" (now Talos): talosintelligence.com/reputation_center.
    KnownReply {
        from: CISCO,
        codes: None,
        marks: &["sending mta's poor reputation|senderbase"],
        hint: Hint {
            token: "cisco-reputation",
            actor: We,
            advice: "We must end what gave our address a bad name, and then ask for a review at talosintelligence.com.",
        },
        example: "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation. If you believe that this failure is in error, please contact the intended recipient via alternate means.",
    },
    // Trend Micro, success.trendmicro.com solutions 1055758 and 1120618; ers.trendmicro.com.
    KnownReply {
        from: TREND,
        codes: None,
        marks: &["block-send-er|email reputation database|mail-abuse.com|ers.trendmicro"],
        hint: Hint {
            token: "trend-reputation",
            actor: Either,
            advice: "The recipient's Trend Micro filter refuses our address or domain: its administrators can take it off their list, \
                     or we ask for its removal at servicecentral.trendmicro.com.",
        },
        example: "554 5.7.1 <bob@fabrikam.example>: Recipient address rejected: BLOCK-SEND-ER.",
    },
    // spamhaus.org, "DNSBL Usage" and "Using our public mirrors? Check your return codes".
    KnownReply {
        from: SPAMHAUS,
        codes: None,
        marks: &["open resolver|127.255.255.|public resolver|exceeded query volume", "spamhaus|blocked"],
        hint: Hint {
            token: "spamhaus-misused",
            actor: They,
            advice: "We are not listed: their server asks Spamhaus in a way that it does not answer, and takes the error for a listing; \
                     its administrators must use a resolver of their own or a key.",
        },
        example: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; Error: open resolver; https://check.spamhaus.org/returnc/pub/192.0.2.53/",
    },
    KnownReply {
        from: SPAMHAUS,
        codes: None,
        marks: &["spamhaus", "/pbl|pbl.spamhaus"],
        hint: Hint {
            token: "spamhaus-pbl",
            actor: We,
            advice: "Our address is one that should send no mail by itself: we must remove it from the PBL at check.spamhaus.org if it \
                     is a static one of ours, or send through the provider's smart host.",
        },
        example: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using pbl.spamhaus.org; https://www.spamhaus.org/pbl/query/PBL123456",
    },
    KnownReply {
        from: SPAMHAUS,
        codes: None,
        marks: &["spamhaus", "/dbl|dbl.spamhaus|spamhaus dbl|domain present|domain is listed|domain listed"],
        hint: Hint {
            token: "spamhaus-dbl",
            actor: We,
            advice: "A domain in the message or its reverse-path is on Spamhaus' DBL: its owner must end the reason and have it removed \
                     at check.spamhaus.org.",
        },
        example: "550 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL -- see https://www.spamhaus.org/dbl/",
    },
    KnownReply {
        from: SPAMHAUS,
        codes: None,
        marks: &["spamhaus"],
        hint: Hint {
            token: "spamhaus-listed",
            actor: We,
            advice: "Our address is on a Spamhaus list: we must find out who sends spam through it, end that, and then have it removed \
                     at check.spamhaus.org.",
        },
        example: "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
    },
];
