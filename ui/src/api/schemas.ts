// Written by 'npm run types' from docs/reference/openapi.json; do not edit.
export interface components {
    schemas: {
        AlarmAction: {
            /** @enum {string} */
            action: "acknowledge" | "reset" | "shelve" | "unshelve" | "suppress" | "unsuppress" | "out-of-service" | "return-to-service" | "comment";
            /** @default  */
            alarm_id: string;
            key: string;
            /** @default  */
            reason: string;
            /** @default 0 */
            seconds: number;
            /**
             * @default
             * @enum {string}
             */
            state: "" | "NORMAL" | "UNACKNOWLEDGED" | "ACKNOWLEDGED" | "RETURNED_UNACKNOWLEDGED" | "LATCHED_UNACKNOWLEDGED" | "LATCHED_ACKNOWLEDGED" | "SHELVED" | "SUPPRESSED_BY_DESIGN" | "OUT_OF_SERVICE";
        };
        AlarmAnswer: {
            /** @enum {string} */
            outcome: "done" | "refused" | "unknown";
            text: string;
        };
        AlarmInfo: {
            acked_at_us: number | null;
            acked_by: string | null;
            alarm_id: string;
            asset: string;
            cleared_at_us: number | null;
            condition: boolean;
            count: number;
            /** @enum {string} */
            gateway_state: "ACTIVE" | "ACKNOWLEDGED" | "CLEARED" | "SUPPRESSED";
            key: string;
            raised_at_us: number | null;
            rule: string;
            /** @enum {string} */
            severity: "CRITICAL" | "HIGH" | "MEDIUM" | "LOW" | "INFO";
            shelved_until_us: number | null;
            source: string;
            state: string;
            suppressed_until_us: number | null;
            tag: string;
            threshold: number | null;
            type: string;
            unit: string;
            value: number | boolean | string | null;
        };
        AlarmList: {
            alarms: components["schemas"]["AlarmInfo"][];
            at_us: number;
        };
        At: {
            from_t: number | null;
            /** @constant */
            mode: "at";
            q: number | null;
            t: number;
            tag: string;
            v: number | boolean | string | null;
        };
        BufferInfo: {
            bytes: number;
            /** @default 0 */
            disk_bytes: number;
            /** @default false */
            disk_full: boolean;
            full_in_s?: number | null;
            max_bytes: number;
            oldest_waiting_us: number | null;
            /** @default 0 */
            reserved_bytes: number;
            waiting: number;
        };
        Chart: {
            avg: (number | null)[];
            bad: number[];
            bucket_us: number;
            good_percent: number | null;
            /** @enum {string} */
            kind: "double" | "integer" | "boolean" | "text";
            max: (number | null)[];
            min: (number | null)[];
            /** @constant */
            mode: "chart";
            n: number[];
            readings: number;
            t: number[];
            tag: string;
            unit: string;
        };
        DeadLetterInfo: {
            gateway: string | null;
            offset: number;
            partition: number;
            reason: string;
            source: string | null;
            tag: string | null;
            time_us: number;
            topic: string;
            value: number | boolean | string | null;
        };
        DeadLetterPage: {
            next: string | null;
            rows: components["schemas"]["DeadLetterInfo"][];
            total: number;
        };
        EventInfo: {
            active: boolean | null;
            actor: string;
            after: number | boolean | string | null;
            asset: string;
            attributes: {
                [key: string]: unknown;
            };
            before: number | boolean | string | null;
            /** @enum {string} */
            category: "event" | "alarm";
            gateway: string;
            id: string;
            severity: number | null;
            source: string;
            tag: string;
            text: string;
            threshold: number | null;
            time_us: number;
            type: string;
            unit: string;
            value: number | boolean | string | null;
        };
        EventPage: {
            events: components["schemas"]["EventInfo"][];
            next: string | null;
        };
        GatewayInfo: {
            at_us: number;
            buffer: components["schemas"]["BufferInfo"];
            gateway: string;
            link: components["schemas"]["LinkInfo"];
            problems: string[];
            sources: components["schemas"]["SourceInfo"][];
        };
        HealthInfo: {
            since_us: number;
            /** @enum {string} */
            status: "ok" | "degraded";
        };
        KafkaDiskInfo: {
            broker: number;
            directory: string;
            free_bytes: number;
            online: boolean;
            total_bytes: number;
            used_bytes: number;
        };
        KafkaGroupInfo: {
            behind: number;
            group: string;
            topic: string;
        };
        KafkaInfo: {
            at_us: number;
            brokers: number[];
            brokers_away: number[];
            disks: components["schemas"]["KafkaDiskInfo"][];
            faults: string[];
            groups: components["schemas"]["KafkaGroupInfo"][];
            offline: string[];
            partitions: number;
            topics: components["schemas"]["KafkaTopicInfo"][];
            under_min_isr: string[];
            under_replicated: string[];
        };
        KafkaTopicInfo: {
            disk_bytes: number | null;
            partitions: number;
            records: number;
            records_per_s: number;
            topic: string;
        };
        Latest: {
            values: components["schemas"]["LiveInfo"][];
        };
        Ledger: {
            at_us: number;
            balanced: boolean;
            holes: components["schemas"]["LedgerHole"][];
            proof: string;
            rows: components["schemas"]["LedgerRow"][];
            totals: components["schemas"]["LedgerCounts"];
        };
        LedgerCounts: {
            deduplicated: number;
            dropped: number;
            forwarded: number;
            in_transit: number;
            missing: number;
            read: number;
            rejected: number;
            repeats: number;
            stored: number;
            surplus: number;
            waiting: number;
        };
        LedgerHole: {
            gateway: string;
            hi: number;
            lo: number;
            partition: number;
        };
        LedgerRow: {
            balanced: boolean;
            /** @enum {string} */
            category: "telemetry" | "event" | "alarm";
            deduplicated: number;
            dropped: number;
            forwarded: number;
            gateway: string;
            hour_us: number;
            in_transit: number;
            missing: number;
            read: number;
            rejected: number;
            repeats: number;
            source: string;
            stored: number;
            surplus: number;
            waiting: number;
        };
        LinkInfo: {
            /** @default 0 */
            again: number;
            append_ms: number[];
            /** @default 0 */
            bytes_per_s: number;
            /** @default 0 */
            bytes_total: number;
            /** @default 0 */
            down_24h_s: number;
            /** @default 0 */
            down_s: number;
            drained_in_s?: number | null;
            error: string | null;
            max_bytes_per_s?: number | null;
            /** @default false */
            measured: boolean;
            /** @default 0 */
            outages: number;
            /** @default 0 */
            readings_per_s: number;
            since_us: number;
            /** @enum {string} */
            state: "up" | "down";
        };
        LiveInfo: {
            /** @default false */
            big: boolean;
            gateway_t: number;
            q: number;
            quality: string;
            reason: string;
            /** @enum {string} */
            severity: "good" | "uncertain" | "bad";
            t: number;
            tag: string;
            v: number | boolean | string | null;
        };
        LoginRequest: {
            /** Format: password */
            password: string;
            username: string;
        };
        ProblemDetails: {
            /** @example TAG_UNKNOWN */
            code: string;
            detail: string;
            mend: string;
            title: string;
        };
        QualityCount: {
            q: number;
            quality: string;
            reason: string;
            /** @enum {string} */
            severity: "good" | "uncertain" | "bad";
            tags: number;
        };
        QualityCounts: {
            counts: components["schemas"]["QualityCount"][];
            tags: number;
        };
        Raw: {
            /** @enum {string} */
            kind: "double" | "integer" | "boolean" | "text";
            /** @constant */
            mode: "raw";
            q: number[];
            t: number[];
            tag: string;
            truncated: boolean;
            unit: string;
            v: (number | boolean | string | null)[];
        };
        RoleInfo: {
            pid: number | null;
            restarts: number;
            role: string;
            rss_bytes: number | null;
            since_us: number;
            /** @enum {string} */
            state: "running" | "starting" | "stopped" | "failing";
        };
        SessionInfo: {
            expires_us: number;
            /** @enum {string} */
            role: "viewer" | "operator" | "engineer" | "administrator";
            username: string;
        };
        SiteInfo: {
            now_us: number;
            site: string;
            timezone: string;
            title: string;
            version: string;
        };
        SourceInfo: {
            /** @default 0 */
            clock_skew_us: number;
            error: string | null;
            errors_total: number;
            id: string;
            last_reading_us: number | null;
            process?: components["schemas"]["SourceProcessInfo"] | null;
            readings_per_s: number;
            readings_total: number;
            /** @default 0 */
            reduced_furthest: number;
            /** @default 0 */
            reduced_total: number;
            since_us: number;
            stale_tags: number;
            /** @enum {string} */
            state: "waiting" | "connecting" | "connected" | "backing_off" | "misconfigured" | "stopped";
            tags: number;
            type: string;
        };
        SourceProcessInfo: {
            cpu: number;
            pid: number;
            restarts: number;
            rss_bytes: number;
        };
        StatusInfo: {
            gateways: components["schemas"]["GatewayInfo"][];
            kafka: components["schemas"]["KafkaInfo"] | null;
            roles: components["schemas"]["RoleInfo"][];
        };
        TagInfo: {
            description: string;
            gateway: string;
            /** @enum {string} */
            kind: "double" | "integer" | "boolean" | "text";
            max: number | null;
            min: number | null;
            source: string;
            tag: string;
            unit: string;
        };
        TagPage: {
            next: string | null;
            tags: components["schemas"]["TagInfo"][];
            total: number;
        };
        Tree: {
            nodes: components["schemas"]["TreeNode"][];
        };
        TreeNode: {
            branch: boolean;
            name: string;
            path: string;
            tags: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
